"""The LightningDataModule over outputs: it asks for what is missing, then serves features and scores of each part."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from moe2_pl.errors import ConfigError, DataError, UnknownNameError
from moe2_pl.outputs._container import ExpertOutputs
from moe2_pl.outputs._filling import precomputed
from moe2_pl.outputs._plan import OutputPlan
from moe2_pl.outputs._splits import Split, split_queries

__all__ = [
    "CATEGORY_MODES",
    "ExpertOutputsDataModule",
    "FeatureSpec",
    "find_outputs",
    "log_likelihood",
    "shipped_outputs",
]

CATEGORY_MODES = ("application", "unknown", "family")
_ASSETS = Path(__file__).parents[1] / "assets"


def shipped_outputs() -> list[str]:
    """Names of the recorded outputs that come with the package."""
    return sorted(p.parent.name for p in _ASSETS.glob("*/manifest.json"))


def find_outputs(name: str | Path) -> Path:
    """The folder of recorded outputs: a shipped name, or a path.

    Raises:
        UnknownNameError: neither.
    """
    if str(name) in shipped_outputs():
        return _ASSETS / str(name)
    if not Path(name).is_dir():
        raise UnknownNameError("recorded outputs (a shipped name or a folder)", str(name), shipped_outputs())
    return Path(name)


@dataclass(frozen=True)
class FeatureSpec:
    """What stands in a row of features: embedding [d], surface [f], category one-hot [C], side by side.

    Args:
        encoder: name of the embedding.
        embedding: d.
        surface: names of the f surface features.
        categories: names of the C categories; a query of another one has all zeros.
    """

    encoder: str
    embedding: int
    surface: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def dense(self) -> int:
        """d + f: the columns that are standardised."""
        return self.embedding + len(self.surface)

    @property
    def width(self) -> int:
        """d + f + C."""
        return self.dense + len(self.categories)


class ExpertOutputsDataModule(L.LightningDataModule):
    """Serves features and scores of recorded outputs to the gate.

    A batch is a dict: ``features`` [b, d + f + C] as in :class:`FeatureSpec`, ``score`` [b, N], and
    ``log_p`` [b, N], the log-likelihood of what happened: of the right option where the outputs hold
    log-probabilities, of the clipped score, log clip(score, .02, .98), where they do not.

    Args:
        outputs: a shipped name, a folder that :meth:`ExpertOutputs.save` wrote, the value itself, or the plan of
            outputs that models have yet to answer.
        encoder: which features of the outputs to use, side by side where joined by ``+``; default all.
        category: ``application`` uses the category as recorded, ``unknown`` hides it from the gate,
            ``family`` makes the task families the categories.
        split, fractions, split_seed: see :func:`split_queries`.
        batch_size: rows per training step.
        experts: use only these, in this order; default all.
        categories: which categories the features tell apart, as those that a gate was trained on; default the
            outputs' own. A query of another one has none, and a warning names it.
        precompute: how a plan is filled; default :func:`precomputed` in this process.

    Raises:
        UnknownNameError: another category mode, encoder or expert.
        DataError: the outputs hold no families but ``category`` is ``family``.
    """

    def __init__(
        self,
        outputs: str | Path | ExpertOutputs | OutputPlan = "jetson_mix",
        encoder: str | None = None,
        category: str = "application",
        split: str = "random",
        fractions: Sequence[float] = (0.60, 0.15, 0.25),
        split_seed: int = 0,
        batch_size: int = 256,
        experts: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        precompute: Callable[[OutputPlan], ExpertOutputs] | None = None,
    ) -> None:
        super().__init__()
        if category not in CATEGORY_MODES:
            raise UnknownNameError("data.category", category, CATEGORY_MODES)
        if batch_size < 1:
            raise ConfigError(f"data.batch_size is {batch_size}; need at least 1")
        self._given = outputs if isinstance(outputs, ExpertOutputs) else None
        self._plan = outputs if isinstance(outputs, OutputPlan) else None
        self._precompute = precompute or precomputed
        where = "" if self._given is not None else str(outputs if self._plan is None else self._plan.folder)
        # Primitives only: the checkpoint stores them, and it is read back without unpickling objects.
        self.save_hyperparameters(
            {
                "outputs": where,
                "encoder": encoder,
                "category": category,
                "split": split,
                "fractions": [float(f) for f in fractions],
                "split_seed": split_seed,
                "batch_size": batch_size,
                "experts": None if experts is None else list(experts),
                "categories": None if categories is None else list(categories),
            }
        )
        self._loaded: tuple[ExpertOutputs, Split, FeatureSpec] | None = None

    def prepare_data(self) -> None:
        """Have models answer what a plan lacks; refuse missing outputs before anything is built on them."""
        if self._plan is not None:
            self._precompute(self._plan)
        if self._given is None:
            find_outputs(self.hparams["outputs"])

    def setup(self, stage: str | None = None) -> None:
        """Load, check and split the outputs; once, whatever the stage."""
        if self._loaded is not None:
            return
        h = self.hparams
        outputs = self._given if self._given is not None else ExpertOutputs.load(find_outputs(h["outputs"]))
        if h["experts"] is not None:
            outputs = outputs.select_experts(h["experts"])
        if h["category"] == "family":
            if outputs.family is None:
                raise DataError("data.category is 'family', but these outputs hold no task families")
            outputs = replace(outputs, category=outputs.family, categories=outputs.families)
        if h["encoder"] is None:
            # By name, for checkpoints: outputs that gain a signal later must not change what a gate sees.
            h["encoder"] = "+".join(sorted(outputs.features))
        categories = outputs.categories if h["categories"] is None else tuple(h["categories"])
        unseen = [name for name in outputs.categories if name not in categories]
        if unseen and h["category"] != "unknown":
            warnings.warn(
                f"the gate never saw the category {', '.join(unseen)}; its queries are answered by what holds for "
                f"all of {', '.join(categories)} together",
                stacklevel=2,
            )
        embedding = outputs.feature_width(h["encoder"])
        spec = FeatureSpec(h["encoder"], embedding, outputs.surface_names, categories)
        self._loaded = outputs, split_queries(outputs, h["split"], h["fractions"], h["split_seed"]), spec

    @property
    def outputs(self) -> ExpertOutputs:
        """All outputs; the category is the one that masks, costs and budgets use."""
        return self._ready()[0]

    @property
    def split(self) -> Split:
        """Row numbers of the parts."""
        return self._ready()[1]

    @property
    def spec(self) -> FeatureSpec:
        """What stands in a row of features."""
        return self._ready()[2]

    def features(self, rows: NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """[m, d + f + C] float32 features of the queries ``rows``, put together on every call."""
        outputs, _, spec = self._ready()
        columns = {name: k for k, name in enumerate(spec.categories)}
        number = np.array([columns.get(name, -1) for name in outputs.categories])
        category = number[outputs.category[rows]]
        one_hot = np.zeros((len(category), len(spec.categories)), dtype=np.float32)
        if self.hparams["category"] != "unknown":
            known = np.flatnonzero(category >= 0)
            one_hot[known, category[known]] = 1.0
        parts = [outputs.feature(spec.encoder, rows), one_hot]
        if outputs.surface is not None:
            parts.insert(1, outputs.surface[rows])
        return torch.from_numpy(np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind"))

    def parts(self, rows: NDArray[np.int64], size: int = 8192) -> Iterator[tuple[Tensor, Tensor]]:
        """Features [m, d + f + C] and scores [m, N] of the queries ``rows``, at most ``size`` at a time."""
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            yield self.features(some), torch.from_numpy(self.outputs.score[some])

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of the training part."""
        return self._loader(self.split.train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation part, in one batch where it is small."""
        return self._loader(self.split.validation, shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        """The held-out part."""
        return self._loader(self.split.test, shuffle=False)

    def _ready(self) -> tuple[ExpertOutputs, Split, FeatureSpec]:
        self.setup()
        assert self._loaded is not None
        return self._loaded

    def _loader(self, rows: NDArray[np.int64], *, shuffle: bool) -> DataLoader[Any]:
        dataset = _Rows(self, rows)
        order: Sampler[int] = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        size = self.hparams["batch_size"] if shuffle else max(4096, self.hparams["batch_size"])
        # The sampler yields whole index lists, so a batch is one tensor indexing, not one call per row.
        return DataLoader(dataset, sampler=BatchSampler(order, size, drop_last=False), batch_size=None)


class _Rows(Dataset[Any]):
    """Rows of one part; indexed by a list of them, it puts a named batch together from arrays that may be on disk."""

    def __init__(self, data: ExpertOutputsDataModule, rows: NDArray[np.int64]) -> None:
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        rows, outputs = self.rows[index], self.data.outputs
        return {
            "features": self.data.features(rows),
            "score": torch.from_numpy(outputs.score[rows]),
            "log_p": torch.from_numpy(log_likelihood(outputs, rows)),
        }


def log_likelihood(
    outputs: ExpertOutputs, rows: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.float32]:
    """[m, N] log-likelihood of what happened, per expert; see :class:`ExpertOutputsDataModule`."""
    log_p: NDArray[np.float32] = np.log(outputs.score[rows].clip(0.02, 0.98)).astype(np.float32)
    if outputs.log_prob is not None and outputs.label is not None:
        label = outputs.label[rows]
        known = np.flatnonzero(label >= 0)
        log_p[known] = outputs.log_prob[rows][known, :, label[known]]
    return log_p
