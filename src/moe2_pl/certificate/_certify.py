"""Regret of reusing a gate: against gates of every objective retrained on the subset alone."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from moe2_pl.certificate._monotonicity import Monotonicity, monotonicity
from moe2_pl.certificate._subsets import Subset
from moe2_pl.errors import CheckpointError
from moe2_pl.gate import OBJECTIVES, GatingModule, build_objective, fit_gate, route
from moe2_pl.outputs import ArrayCache, Arrays, ExpertOutputsDataModule, digest
from moe2_pl.pool import ExpertPool

__all__ = ["Certificate", "RegretRow", "certify"]

_DRAWS = 2000
# Of what the hash of a cached result covers; to be raised when the measurement changes.
_VERSION = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RegretRow:
    """Regret on one subset, in score, mean of the seeds; positive where retraining is better.

    Args:
        kind, label, experts: as in :class:`Subset`.
        queries: held-out queries.
        seeds: of the retrained gates.
        reused: held-out score of the gate that was trained once.
        retrained: of the best gate retrained on the subset, its objective chosen on validation queries.
        objective: which was best, for each seed, joined by ``' + '``.
        regret, low, high: retrained − reused, with a paired bootstrap's 95 % interval over queries.
        same_regret, same_low, same_high: the same against a gate of the reused one's own recipe.
    """

    kind: str
    label: str
    experts: tuple[str, ...]
    queries: int
    seeds: int
    reused: float
    retrained: float
    objective: str
    regret: float
    low: float
    high: float
    same_regret: float
    same_low: float
    same_high: float


@dataclass(frozen=True)
class Certificate:
    """What was measured.

    Args:
        mode: name of the counts: ``quick`` or ``full``.
        rows: one per subset.
        mean_regret, mean_low, mean_high: mean over the subsets, with a paired bootstrap's 95 % interval.
        monotonicity: of the reused gate.
        uncovered: labels of the frontier's subsets that were not measured.
        frontier: distinct subsets of the frontier that leave something to route.
        cached: subsets that were read from the cache for all seeds.
    """

    mode: str
    rows: tuple[RegretRow, ...]
    mean_regret: float
    mean_low: float
    mean_high: float
    monotonicity: Monotonicity
    uncovered: tuple[str, ...]
    frontier: int
    cached: int

    @property
    def worst(self) -> RegretRow:
        """The row with the largest regret."""
        return max(self.rows, key=lambda row: row.regret)


def certify(
    gate: GatingModule,
    data: ExpertOutputsDataModule,
    pool: ExpertPool,
    energy_j: Floats,
    frontier: Sequence[Subset],
    random: Sequence[Subset],
    *,
    mode: str = "full",
    most_frontier: int | None = None,
    seeds: int = 3,
    cache: Path | None = None,
    tick: Callable[[str], None] = lambda line: None,
) -> Certificate:
    """Retrain gates on subsets and compare them with the one that is reused.

    For each subset and seed, one gate of each objective is trained on the outputs of the subset's models
    alone, with the recipe that the reused gate was trained by; the one with the best validation score under the
    subset's masks is the retrained gate. Regret is its held-out score less the reused gate's. Interrupting
    loses nothing but the gate in training: finished ones are in the cache.

    Args:
        gate: frozen, with its ``recipe``.
        data: outputs and split that it was trained with.
        pool: N experts of M models.
        energy_j: [C, N] mean joules of a query, for ties.
        frontier: distinct subsets of the frontier, the most important first.
        random: other subsets.
        mode: a name for the counts.
        most_frontier: how many of ``frontier`` to measure; None for all.
        seeds: how many times each gate is retrained.
        cache: folder of results.
        tick: called with a line of progress per subset.

    Raises:
        CheckpointError: a gate without its recipe, so that nothing can be retrained alike.
    """
    if gate.recipe is None:
        raise CheckpointError(
            "the checkpoint does not say how its gate was trained; train it again, or give certificate=off"
        )
    bench = _Bench(gate, data, pool, energy_j, ArrayCache(cache))
    covered = list(frontier if most_frontier is None else frontier[:most_frontier])
    rows, differences, from_disk = [], [], 0
    for number, subset in enumerate(subsets := [*covered, *random], 1):
        hits = bench.cache.hits
        results = [bench.measure(subset, seed) for seed in range(seeds)]
        from_disk += bench.cache.hits - hits == seeds
        best = np.mean([r["best"] - r["reused"] for r in results], axis=0)
        same = np.mean([r["same"] - r["reused"] for r in results], axis=0)
        row = _row(subset, results, best, same)
        rows.append(row)
        differences.append(best)
        tick(f"certificate: {number} of {len(subsets)} subsets, regret {row.regret:+.4f}")
    mean = np.mean(differences, axis=0) if differences else np.zeros(1)
    low, high = _interval(mean)
    test = data.split.test
    columns = gate.columns(pool.model_ids)
    return Certificate(
        mode=mode,
        rows=tuple(rows),
        mean_regret=float(mean.mean()),
        mean_low=low,
        mean_high=high,
        monotonicity=monotonicity(
            gate.predict(data.features(test))[:, columns].numpy(), bench.outputs.score[test]
        ),
        uncovered=tuple(subset.label for subset in frontier[len(covered) :]),
        frontier=len(frontier),
        cached=from_disk,
    )


class _Bench:
    """One gate, its data and its pool; measures a subset with one seed."""

    def __init__(
        self,
        gate: GatingModule,
        data: ExpertOutputsDataModule,
        pool: ExpertPool,
        energy_j: Floats,
        cache: ArrayCache,
    ) -> None:
        self.gate, self.data, self.pool, self.cache = gate, data, pool, cache
        self.outputs = data.outputs.select_experts(pool.model_ids)
        self.energy_j = torch.from_numpy(energy_j)[torch.from_numpy(self.outputs.category)]
        self.score = torch.from_numpy(pool.expand(self.outputs.score))
        columns = gate.columns(pool.model_ids)
        self.prediction = gate.predict(data.features())[:, columns].numpy()
        self.identity = {
            "version": _VERSION,
            "gate": _state_hash(gate),
            "outputs": self.outputs.fingerprint(),
            "data": {k: v for k, v in data.hparams.items() if k != "outputs"},
            "pool": pool.fingerprint(),
        }

    def measure(self, subset: Subset, seed: int) -> Arrays:
        """Held-out scores [n_test] ``reused``, ``best`` and ``same``, and the ``objective`` of the best."""
        key = digest({**self.identity, "allowed": subset.allowed.astype(int).tolist(), "seed": seed})
        return self.cache.get(key, lambda: self._compute(subset, seed))

    def _compute(self, subset: Subset, seed: int) -> Arrays:
        inside = [e.model_id for e in self.pool.experts if e.name in subset.experts]
        models = [m for m in self.pool.model_ids if m in inside]
        _, validation, test = self.data.split
        own = self.gate.objective.name
        on_validation: dict[str, float] = {}
        held_out: dict[str, Floats] = {}
        # The reused gate's own objective first: of equal validation scores the first is kept.
        for name in (own, *(o for o in OBJECTIVES if o != own)):
            score = self._routed(subset, self._retrained(models, name, seed))
            on_validation[name], held_out[name] = float(score[validation].mean()), score[test]
        best = max(on_validation, key=lambda name: on_validation[name])
        return {
            "reused": self._routed(subset, self.prediction)[test],
            "best": held_out[best],
            "same": held_out[own],
            "objective": np.array(best),
        }

    def _retrained(self, models: list[str], objective: str, seed: int) -> NDArray[Any]:
        """[n, M] what a gate of the subset's models predicts; −1 for the others, which the mask leaves out."""
        h = self.data.hparams
        alone = ExpertOutputsDataModule(
            self.data.outputs.select_experts(models),
            **{k: h[k] for k in ("encoder", "category", "split", "fractions", "split_seed", "batch_size")},
        )
        own = self.gate.hparams
        same = objective == self.gate.objective.name
        fitted = fit_gate(
            alone,
            network=own["network"],
            objective=own["objective"] if same else {"name": objective},
            fitted=own["fitted"] if build_objective(objective).independent else None,
            recipe=self.gate.recipe or {},
            seed=seed,
        )
        prediction = np.full(self.prediction.shape, -1.0)
        inside = [self.pool.model_ids.index(m) for m in models]
        prediction[:, inside] = fitted.predict(alone.features()).numpy()
        return prediction

    def _routed(self, subset: Subset, prediction: NDArray[Any]) -> Floats:
        """[n] the score of every query's allowed expert with the largest prediction."""
        allowed = torch.from_numpy(subset.allowed[self.outputs.category])
        rank = torch.from_numpy(self.pool.expand(prediction))
        choice = route(rank, allowed, energy_j=self.energy_j).expert
        scores: Floats = self.score.gather(1, choice)[:, 0].numpy()
        return scores


def _row(subset: Subset, results: Sequence[Mapping[str, Any]], best: Floats, same: Floats) -> RegretRow:
    low, high = _interval(best)
    same_low, same_high = _interval(same)
    return RegretRow(
        kind=subset.kind,
        label=subset.label,
        experts=subset.experts,
        queries=len(best),
        seeds=len(results),
        reused=float(results[0]["reused"].mean()),
        retrained=float(np.mean([r["best"].mean() for r in results])),
        objective=" + ".join(str(r["objective"]) for r in results),
        regret=float(best.mean()),
        low=low,
        high=high,
        same_regret=float(same.mean()),
        same_low=same_low,
        same_high=same_high,
    )


def _interval(difference: Floats) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of a mean of paired differences [n]."""
    rng = np.random.default_rng(0)
    n = len(difference)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS)
    low, high = np.quantile(counts @ difference / n, (0.025, 0.975))
    return float(low), float(high)


def _state_hash(gate: GatingModule) -> str:
    total = hashlib.sha256(repr(sorted(gate.hparams.items())).encode())
    for name, tensor in sorted(gate.state_dict().items()):
        if not name.startswith("val_"):
            total.update(name.encode())
            total.update(tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
