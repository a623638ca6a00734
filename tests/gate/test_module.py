"""The gate learns, its checkpoint is read back exactly and safely, and misuse is refused."""

import functools
import pickle
import warnings
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tests.conftest import make_outputs

from moe2_pl.errors import CheckpointError, ConfigError, DataError, MoE2Error
from moe2_pl.gate import GatingModule, build_network, load_gate
from moe2_pl.outputs import ExpertOutputsDataModule

SMALL = {"name": "mlp", "hidden": 16, "members": 2}


def fit(
    folder: Path, epochs: int = 8, seed: int = 0, **options
) -> tuple[GatingModule, ExpertOutputsDataModule, Path]:
    L.seed_everything(seed, verbose=False)
    data = ExpertOutputsDataModule(make_outputs(800), batch_size=64)
    options = {"network": SMALL, "optimizer": functools.partial(torch.optim.AdamW, lr=0.01), **options}
    gate = GatingModule(data.spec, data.outputs.model_id, **options)
    keep = ModelCheckpoint(dirpath=folder, filename="gate", monitor="val/loss")
    trainer = L.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
        callbacks=[keep],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(gate, datamodule=data)
    return gate, data, Path(keep.best_model_path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("fit"))


@pytest.mark.parametrize("objective", ["competence", "mixture", "expected_score"])
@pytest.mark.parametrize("network", [{"name": "linear"}, SMALL, {**SMALL, "name": "two_tower", "width": 8}])
def test_a_trained_gate_routes_better_than_the_best_single_model(tmp_path, objective, network):
    _, data, path = fit(tmp_path, objective={"name": objective}, network=network)
    gate = load_gate(path).gate
    test = data.split.test
    score = torch.from_numpy(data.outputs.score[test])
    choice = gate.route(data.features(test), torch.ones(3, dtype=torch.bool)).expert
    assert score.gather(1, choice).mean() > score.mean(0).max() + 0.05


def test_an_untrained_competence_gate_starts_from_the_mean_score_of_the_category():
    data = ExpertOutputsDataModule(make_outputs(800))
    gate = GatingModule(data.spec, data.outputs.model_id, network={"name": "linear"})
    rows = data.split.train
    gate.fit_statistics(lambda: data.parts(rows))
    q = gate.competence(data.features())
    for c in range(2):
        mine = rows[data.outputs.category[rows] == c]
        mean = torch.from_numpy(data.outputs.score[mine].mean(0))
        torch.testing.assert_close(q[data.outputs.category == c][0], mean, atol=0.01, rtol=0)


def test_a_category_that_training_never_saw_gets_the_global_prior(fitted):
    gate, data, _ = fitted
    features = data.features()[:1].clone()
    features[:, data.spec.dense :] = 0
    features[:, : data.spec.dense] = gate.mean
    overall = torch.from_numpy(data.outputs.score[data.split.train].mean(0))
    torch.testing.assert_close(torch.sigmoid(gate.prior[-1]), overall, atol=0.01, rtol=0)
    assert gate.competence(features).isfinite().all()


def test_a_checkpoint_is_read_back_with_equal_predictions(fitted):
    gate, data, path = fitted
    loaded = load_gate(path)
    again = ExpertOutputsDataModule(data.outputs, **{k: v for k, v in loaded.data.items() if k != "outputs"})
    assert again.split.test.tolist() == data.split.test.tolist()
    best = torch.load(path, weights_only=True)["state_dict"]
    gate.load_state_dict(best)
    assert torch.equal(loaded.gate.competence(data.features()), gate.competence(data.features()))
    assert not any(p.requires_grad for p in loaded.gate.parameters())


def test_training_is_the_same_for_the_same_seed(tmp_path):
    one, other = (fit(tmp_path / str(i), epochs=2, seed=5)[0].state_dict() for i in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_the_held_out_part_holds_does_not_change_the_gate(tmp_path, monkeypatch):
    plain = fit(tmp_path / "plain", epochs=2)[0].state_dict()
    build = make_outputs

    def shuffled(n: int):
        outputs = build(n)
        test = ExpertOutputsDataModule(outputs).split.test
        outputs.score[test] = outputs.score[test[::-1]]
        outputs.features["minilm"][test] *= 3
        return outputs

    monkeypatch.setattr("tests.gate.test_module.make_outputs", shuffled)
    other = fit(tmp_path / "shuffled", epochs=2)[0].state_dict()
    assert all(torch.equal(plain[key], other[key]) for key in plain)


def test_members_are_trained_independently():
    """Averaged members see no gradient of each other: each is what it would be alone."""
    network = build_network(4, (2,), name="mlp", hidden=8, members=3, dropout=0.0, input_dropout=0.0)
    logits = network(torch.randn(5, 4))
    assert logits.shape == (3, 5, 2)
    logits[1].sum().backward()
    grad = network.trunk.weight.grad
    assert grad[0].abs().sum() == 0
    assert grad[1].abs().sum() > 0


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", ["pickle", "text", "empty", "truncated", "other", "missing"])
def test_anything_but_a_gates_checkpoint_is_refused_without_running_it(fitted, tmp_path, content, capsys):
    file = tmp_path / "gate.ckpt"
    if content == "pickle":
        file.write_bytes(pickle.dumps(Malicious()))
    elif content == "text":
        file.write_text("hello")
    elif content == "empty":
        file.touch()
    elif content == "truncated":
        file.write_bytes(fitted[2].read_bytes()[:5000])
    elif content == "other":
        torch.save({"weights": torch.zeros(3)}, file)
    with pytest.raises(CheckpointError) as caught:
        load_gate(file)
    assert "\n" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


def test_a_torch_file_that_hides_an_object_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Malicious()}, tmp_path / "gate.ckpt")
    with pytest.raises(CheckpointError):
        load_gate(tmp_path / "gate.ckpt")
    assert "executed" not in capsys.readouterr().out


def test_a_model_that_the_gate_was_not_trained_on_is_named(fitted):
    assert fitted[0].columns(["model-2", "model-0"]) == [2, 0]
    with pytest.raises(CheckpointError, match="no model 'gpt'"):
        fitted[0].columns(["model-0", "gpt"])


def test_features_of_another_width_are_refused(fitted):
    with pytest.raises(DataError, match="width 5"):
        fitted[0].competence(torch.zeros(1, 5))


def test_weights_and_competence_are_not_confused(fitted):
    with pytest.raises(ConfigError, match="has competence, no weights"):
        fitted[0].weights(fitted[1].features())
    mixture = GatingModule(fitted[1].spec, ["a", "b"], objective={"name": "mixture"})
    with pytest.raises(ConfigError, match="has weights, no competence"):
        mixture.competence(fitted[1].features())
    torch.testing.assert_close(mixture.weights(fitted[1].features()).sum(1), torch.ones(800))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "mpl"}, "did you mean 'mlp'"),
        ({"name": "mlp", "hiden": 3}, "did you mean 'hidden'"),
        ({"name": "mlp", "hidden": "abc"}, "gate.network.hidden is 'abc'; it must be of type int"),
        ({"name": "mlp", "members": 0}, "at least 1"),
    ],
)
def test_a_network_that_does_not_exist_is_refused(options, message):
    with pytest.raises(MoE2Error, match=message):
        build_network(4, (2,), **options)
