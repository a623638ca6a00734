"""The gate as an ONNX file: what an edge box needs to route, without torch.

Needs the extra ``export`` (onnx, onnxscript).
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from moe2_pl.errors import ConfigError
from moe2_pl.gate._module import GatingModule

__all__ = ["export_onnx"]


class _Served(nn.Module):
    """Features, masks and joules in; predictions and the chosen model out."""

    def __init__(self, gate: GatingModule) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, features: Tensor, allowed: Tensor, energy_j: Tensor) -> tuple[Tensor, Tensor]:
        prediction = self.gate.predicted(features)
        rank = prediction.masked_fill(~allowed, -1.0)
        best = rank == rank.amax(dim=1, keepdim=True)
        return prediction, energy_j.masked_fill(~best, torch.inf).argmin(dim=1)


def export_onnx(gate: GatingModule, path: str | Path) -> Path:
    """Write the gate, its standardisation, trees and calibration as one ONNX file.

    Its inputs are ``features`` [n, d + f + C] float32, as the DataModule puts them together, ``allowed`` [n, M] bool
    and ``energy_j`` [n, M] float32; its outputs ``prediction`` [n, M], as :meth:`GatingModule.predict`, and
    ``expert`` [n], the allowed model with the largest prediction, of equal ones that with fewer joules, then the
    first. The names of the models and of the encoder stand in the file's metadata. A row of ``allowed`` without
    anybody is not refused there: its answer means nothing.

    Raises:
        ConfigError: onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError("exporting needs onnx and onnxscript: pip install 'moe2-pl[export]'") from error
    models = len(gate.model_ids)
    example = (
        torch.zeros(2, gate.spec.width),
        torch.ones(2, models, dtype=torch.bool),
        torch.ones(2, models),
    )
    was_training = gate.training
    gate.eval()
    queries = torch.export.Dim("queries", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.export.export(_Served(gate).eval(), example, dynamic_shapes=({0: queries},) * 3)
            program = torch.onnx.export(
                graph,
                input_names=["features", "allowed", "energy_j"],
                output_names=["prediction", "expert"],
                dynamo=True,
                verbose=False,
            )
    finally:
        gate.train(was_training)
    assert program is not None
    program.model.metadata_props.update(
        {
            "models": ",".join(gate.model_ids),
            "encoder": gate.spec.encoder,
            "surface": ",".join(gate.spec.surface),
            "categories": ",".join(gate.spec.categories),
        }
    )
    program.save(str(path))
    return Path(path)
