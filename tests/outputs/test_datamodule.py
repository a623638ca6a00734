"""The DataModule serves the rows of its split, and hides what the gate must not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moe2_pl.errors import MoE2Error
from moe2_pl.outputs import ExpertOutputsDataModule, log_likelihood


def test_loaders_serve_every_row_of_their_part_once(outputs):
    data = ExpertOutputsDataModule(outputs, batch_size=32)
    for rows, loader in zip(
        data.split, (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()), strict=True
    ):
        served = torch.cat([batch["score"] for batch in loader])
        assert len(served) == len(rows)
        assert served.sum(0).tolist() == outputs.score[rows].sum(0).tolist()


def test_the_family_never_reaches_the_features(outputs):
    shuffled = replace(outputs, family=outputs.family[::-1].copy())
    one, other = ExpertOutputsDataModule(outputs), ExpertOutputsDataModule(shuffled)
    assert torch.equal(one.features(), other.features())


def test_an_unknown_category_is_hidden_from_the_features_but_not_from_the_outputs(outputs):
    data = ExpertOutputsDataModule(outputs, category="unknown")
    assert data.features()[:, data.spec.dense :].abs().sum() == 0
    assert data.outputs.categories == ("assistant", "coder")


def test_families_can_be_the_categories(outputs):
    data = ExpertOutputsDataModule(outputs, category="family")
    assert data.spec.categories == outputs.families
    np.testing.assert_array_equal(data.features()[:, data.spec.dense :].argmax(1), outputs.family)


def test_the_likelihood_is_that_of_the_right_option_where_there_is_one(outputs):
    log_prob = np.log(np.tile([0.7, 0.2, 0.1], (400, 3, 1))).astype(np.float32)
    label = np.where(np.arange(400) < 10, 1, -1)
    log_p = log_likelihood(replace(outputs, log_prob=log_prob, label=label))
    np.testing.assert_allclose(log_p[:10], np.log(0.2), rtol=1e-6)
    np.testing.assert_allclose(log_p[10:], np.log(outputs.score[10:].clip(0.02, 0.98)), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"category": "familly"}, "did you mean 'family'"),
        ({"encoder": "minilmm"}, "did you mean 'minilm'"),
        ({"experts": ["gpt"]}, "unknown expert"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_settings_that_fit_nothing_are_refused(outputs, options, message):
    with pytest.raises(MoE2Error, match=message):
        ExpertOutputsDataModule(outputs, **options).setup()


def test_all_recorded_features_are_used_unless_some_are_named(outputs):
    both = replace(outputs, features={"minilm": outputs.features["minilm"], "ll": np.ones((400, 2))})
    data = ExpertOutputsDataModule(both)
    assert data.spec.encoder == "ll+minilm"
    assert data.hparams["encoder"] == "ll+minilm"
    np.testing.assert_array_equal(data.features()[:, :2], 1)
    np.testing.assert_array_equal(data.features()[:, 2:10], outputs.features["minilm"])
    assert ExpertOutputsDataModule(both, encoder="minilm").spec.embedding == 8


def test_a_category_that_a_gate_never_saw_has_no_column_and_is_named(outputs):
    data = ExpertOutputsDataModule(outputs, categories=("puzzles", "assistant"))
    with pytest.warns(UserWarning, match="never saw the category coder"):
        data.setup()
    one_hot = data.features()[:, data.spec.dense :].numpy()
    assistant = outputs.category == 0
    assert (one_hot[assistant] == [0, 1]).all()
    assert (one_hot[~assistant] == 0).all()


def test_parts_of_the_rows_are_all_of_them(outputs):
    data = ExpertOutputsDataModule(outputs)
    rows = data.split.train
    features, score = zip(*data.parts(rows, size=50), strict=True)
    assert max(len(part) for part in features) == 50
    assert torch.equal(torch.cat(features), data.features(rows))
    np.testing.assert_array_equal(torch.cat(score), outputs.score[rows])
