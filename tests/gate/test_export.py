"""The exported gate says, under onnxruntime, what the gate says."""

import functools

import lightning as L
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.conftest import make_outputs

from moe2_pl.gate import GatingModule, export_onnx
from moe2_pl.outputs import ExpertOutputsDataModule

DATA = ExpertOutputsDataModule(make_outputs(800), batch_size=64)
KINDS = {
    "blend": {
        "network": {"name": "mlp", "hidden": 16, "members": 2},
        "fitted": {"trees": 8, "min_leaf": 5, "max_features": 0.3},
    },
    "knn": {"network": {"name": "prior"}, "fitted": {"name": "neighbours"}},
    "mixture": {
        "network": {"name": "two_tower", "hidden": 16, "width": 8, "members": 2},
        "objective": {"name": "mixture"},
    },
}


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory):
    L.seed_everything(0, verbose=False)
    gate = GatingModule(
        DATA.spec,
        DATA.outputs.model_id,
        optimizer=functools.partial(torch.optim.AdamW, lr=0.01),
        **KINDS[request.param],
    )
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(gate, datamodule=DATA)
    return gate, export_onnx(gate, tmp_path_factory.mktemp("onnx") / "gate.onnx")


@pytest.mark.parametrize("queries", [1, 5, 200])
def test_predictions_and_routes_are_the_gates(exported, queries):
    gate, path = exported
    session = onnxruntime.InferenceSession(str(path))
    features = DATA.features(DATA.split.test[:queries])
    rng = np.random.default_rng(queries)
    allowed = rng.random((queries, 3)) < 0.5
    allowed[np.arange(queries), rng.integers(0, 3, queries)] = True
    energy_j = rng.random((queries, 3)).astype(np.float32)
    prediction, expert = session.run(
        None, {"features": features.numpy(), "allowed": allowed, "energy_j": energy_j}
    )
    np.testing.assert_allclose(prediction, gate.predict(features).numpy(), atol=1e-6)
    routing = gate.route(features, torch.from_numpy(allowed), energy_j=torch.from_numpy(energy_j))
    assert expert.tolist() == routing.expert[:, 0].tolist()


def test_the_file_names_models_and_features(exported):
    gate, path = exported
    found = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert found["models"] == ",".join(gate.model_ids)
    assert found["categories"] == "assistant,coder"
    assert found["encoder"] == "minilm"


def test_equal_predictions_go_to_fewer_joules(tmp_path):
    gate = GatingModule(DATA.spec, DATA.outputs.model_id, network={"name": "linear"})
    session = onnxruntime.InferenceSession(str(export_onnx(gate, tmp_path / "gate.onnx")))
    features = np.zeros((2, DATA.spec.width), dtype=np.float32)
    energy_j = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0]], dtype=np.float32)
    allowed = np.ones((2, 3), dtype=bool)
    _, expert = session.run(None, {"features": features, "allowed": allowed, "energy_j": energy_j})
    assert expert.tolist() == [1, 0]
