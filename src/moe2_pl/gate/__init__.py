"""The gate: networks, objectives, the LightningModule that trains them, and routing with what it predicts."""

from moe2_pl.gate._calibration import expected_calibration_error, temper
from moe2_pl.gate._checkpoint import LoadedGate, checkpoint_file, load_gate
from moe2_pl.gate._export import export_onnx
from moe2_pl.gate._fit import fit_gate, run_fit
from moe2_pl.gate._module import GatingModule
from moe2_pl.gate._networks import NETWORKS, build_network
from moe2_pl.gate._objectives import (
    OBJECTIVES,
    Objective,
    brier_loss,
    build_objective,
    competence_loss,
    expected_score_loss,
    mixture_loss,
)
from moe2_pl.gate._recipe import kept_recipe
from moe2_pl.gate._routing import Routing, route
from moe2_pl.gate._training_mark import TrainingMark

__all__ = [
    "NETWORKS",
    "OBJECTIVES",
    "GatingModule",
    "LoadedGate",
    "Objective",
    "Routing",
    "TrainingMark",
    "brier_loss",
    "build_network",
    "build_objective",
    "checkpoint_file",
    "competence_loss",
    "expected_calibration_error",
    "expected_score_loss",
    "export_onnx",
    "fit_gate",
    "kept_recipe",
    "load_gate",
    "mixture_loss",
    "route",
    "run_fit",
    "temper",
]
