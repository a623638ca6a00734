"""Outputs of experts, asked for or recorded, the features of queries, and the DataModule that serves both."""

from moe2_pl.outputs._assembled import assembled
from moe2_pl.outputs._cache import ArrayCache, Arrays, digest
from moe2_pl.outputs._container import ExpertOutputs
from moe2_pl.outputs._datamodule import (
    CATEGORY_MODES,
    ExpertOutputsDataModule,
    FeatureSpec,
    find_outputs,
    log_likelihood,
    shipped_outputs,
)
from moe2_pl.outputs._encoder import encode_mean_pooled
from moe2_pl.outputs._filling import LocalWorkers, ModelFill, Workers, fill_plan, precomputed
from moe2_pl.outputs._plan import OutputPlan
from moe2_pl.outputs._prompt_signals import SignalProjection, prompt_states
from moe2_pl.outputs._ray import RayWorkers
from moe2_pl.outputs._splits import SPLITS, Split, split_queries
from moe2_pl.outputs._status import ModelStatus, StoreStatus, plan_status
from moe2_pl.outputs._store import OutputStore
from moe2_pl.outputs._surface import SURFACE_NAMES, surface_features

__all__ = [
    "CATEGORY_MODES",
    "SPLITS",
    "SURFACE_NAMES",
    "ArrayCache",
    "Arrays",
    "ExpertOutputs",
    "ExpertOutputsDataModule",
    "FeatureSpec",
    "LocalWorkers",
    "ModelFill",
    "ModelStatus",
    "OutputPlan",
    "OutputStore",
    "RayWorkers",
    "SignalProjection",
    "Split",
    "StoreStatus",
    "Workers",
    "assembled",
    "digest",
    "encode_mean_pooled",
    "fill_plan",
    "find_outputs",
    "log_likelihood",
    "plan_status",
    "precomputed",
    "prompt_states",
    "shipped_outputs",
    "split_queries",
    "surface_features",
]
