"""The gate against other routers, side by side: python benchmarks/routing.py --category application.

All of them see the same training, validation and held-out queries. Peers stand twice where that makes sense:
as their packages train them (a classifier of the best model's name on the sentence embedding, at scikit-learn's
defaults), and tuned (a regression of every model's score on all features, its strength chosen on validation).
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn
from torch.nn import functional

from main_job import configuration, fit, held_out
from moe2_pl.cli._inputs import configured_inputs
from moe2_pl.gate import GatingModule, expected_calibration_error
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import Inputs
from moe2_pl.planning._routers import Router
from moe2_pl.pool import ExpertPool
from moe2_pl.selection import Budget, FacilityLocation, sweep

Floats = NDArray[np.float64]
# What a router says of the validation and of the held-out queries, [n, M] each; the largest entry answers.
Ranks = tuple[Floats, Floats]
SMALL = ("experiment=small_models_only",)
DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Problem:
    """One split, as arrays: x all features, e the sentence embedding alone, y the scores."""

    x: tuple[Floats, Floats, Floats]
    e: tuple[Floats, Floats, Floats]
    y: tuple[Floats, Floats, Floats]
    seed: int

    @classmethod
    def of(cls, setting: Inputs, seed: int) -> "Problem":
        features = [setting.data.features(rows).numpy().astype(np.float64) for rows in setting.data.split]
        scaler = StandardScaler().fit(features[0])
        scores = [setting.outputs.score[rows].astype(np.float64) for rows in setting.data.split]
        return cls(
            tuple(scaler.transform(f) for f in features),
            tuple(setting.outputs.feature("minilm", rows).astype(np.float64) for rows in setting.data.split),
            tuple(scores),
            seed,
        )


def constant(per_model: Floats, problem: Problem) -> Ranks:
    return tuple(np.tile(per_model, (len(y), 1)) for y in problem.y[1:])


def best_single(problem: Problem) -> Ranks:
    return constant(problem.y[0].mean(0), problem)


def at_random(problem: Problem) -> Ranks:
    rng = np.random.default_rng(problem.seed)
    return tuple(rng.random(y.shape) for y in problem.y[1:])


def elo(problem: Problem) -> Ranks:
    """Elo ratings (K = 4) from the pairs of models that differ on a training query, in random order."""
    y = problem.y[0]
    rating = np.full(y.shape[1], 1000.0)
    pairs = [
        (i, a, b) for i in range(len(y)) for a in range(y.shape[1]) for b in range(a) if y[i, a] != y[i, b]
    ]
    for k in np.random.default_rng(problem.seed).permutation(len(pairs)):
        i, a, b = pairs[k]
        surprise = float(y[i, a] > y[i, b]) - 1 / (1 + 10 ** ((rating[b] - rating[a]) / 400))
        rating[a] += 4 * surprise
        rating[b] -= 4 * surprise
    return constant(1 / (1 + 10 ** ((1000 - rating) / 400)), problem)


def classifier(make: Callable[[], object]) -> Callable[[Problem], Ranks]:
    """The chance that a model's name is the best one's, from the sentence embedding alone."""

    def router(problem: Problem) -> Ranks:
        fitted = make().fit(problem.e[0], problem.y[0].argmax(1))
        ranks = []
        for e in problem.e[1:]:
            rank = np.zeros((len(e), problem.y[0].shape[1]))
            rank[:, fitted.classes_] = fitted.predict_proba(e)
            ranks.append(rank)
        return tuple(ranks)

    return router


def tuned(make: Callable[[float], object], strengths: tuple[float, ...]) -> Callable[[Problem], Ranks]:
    """A regression of all scores on all features; the strength with the best routed validation score."""

    def router(problem: Problem) -> Ranks:
        candidates = []
        for strength in strengths:
            fitted = make(strength).fit(problem.x[0], problem.y[0])
            candidates.append(tuple(fitted.predict(x) for x in problem.x[1:]))
        return max(candidates, key=lambda ranks: routed(ranks[0], problem.y[1]).mean())

    return router


class MatrixFactorisation(nn.Module):
    """RouteLLM's: v · (model vector ∘ projected query), trained on which of two models does better."""

    def __init__(self, width: int, models: int, rank: int = 128) -> None:
        super().__init__()
        self.model, self.query, self.out = (
            nn.Embedding(models, rank),
            nn.Linear(width, rank),
            nn.Linear(rank, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vectors = functional.normalize(self.model.weight, dim=1)
        return self.out(self.query(x)[:, None] * vectors)[..., 0]

    @staticmethod
    def loss(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        difference = y[:, :, None] - y[:, None]
        margin = logits[:, :, None] - logits[:, None]
        return (functional.softplus(-margin) * difference.clamp_min(0)).sum() / difference.clamp_min(0).sum()


class Contrastive(nn.Module):
    """RouterDC's: cosine of query and model vectors; the three best models against the three worst."""

    def __init__(self, width: int, models: int, rank: int = 128) -> None:
        super().__init__()
        self.query, self.model = nn.Linear(width, rank), nn.Parameter(torch.randn(models, rank) * 0.78)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.query(x), dim=1) @ functional.normalize(self.model, dim=1).T

    @staticmethod
    def loss(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        order = y.argsort(1, descending=True)
        best, worst = order[:, :3], order[:, -3:]
        s = logits / 0.2
        total = torch.zeros(())
        for k in range(3):
            positive = s.gather(1, best[:, k : k + 1])
            better = (y.gather(1, best[:, k : k + 1]) > y.gather(1, worst)).float()
            negatives = s.gather(1, worst) + better.clamp_min(1e-9).log()
            nothing = better.sum(1) > 0
            total = (
                total
                - (positive[:, 0] - torch.logsumexp(torch.cat([positive, negatives], 1), 1))[nothing].mean()
            )
        return total / 3


def trained(make: type[nn.Module], which: str) -> Callable[[Problem], Ranks]:
    """AdamW on full epochs of 64 queries, the epoch with the best routed validation score."""

    def router(problem: Problem) -> Ranks:
        torch.manual_seed(problem.seed)
        inputs = problem.x if which == "x" else problem.e
        x = [torch.tensor(part, dtype=torch.float32) for part in inputs]
        y = torch.tensor(problem.y[0], dtype=torch.float32)
        model = make(x[0].shape[1], y.shape[1])
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
        best, kept = -1.0, None
        for _ in range(20):
            for rows in torch.randperm(len(y)).split(64):
                optimizer.zero_grad()
                model.loss(model(x[0][rows]), y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                ranks = tuple(torch.sigmoid(model(part)).double().numpy() for part in x[1:])
            score = routed(ranks[0], problem.y[1]).mean()
            if score > best:
                best, kept = score, ranks
        assert kept is not None
        return kept

    return router


def routed(rank: Floats, score: Floats) -> Floats:
    return score[np.arange(len(rank)), rank.argmax(1)]


PEERS: dict[str, Callable[[Problem], Ranks]] = {
    "random": at_random,
    "best single": best_single,
    "Elo": elo,
    "KNN, classifier": classifier(KNeighborsClassifier),
    "SVM, classifier": classifier(lambda: SVC(probability=True)),
    "MLP, classifier": classifier(lambda: MLPClassifier(random_state=0)),
    "logistic regression, classifier": classifier(lambda: LogisticRegression(max_iter=1000)),
    "matrix factorisation (RouteLLM)": trained(MatrixFactorisation, "e"),
    "contrastive (RouterDC)": trained(Contrastive, "e"),
    "KNN, tuned": tuned(lambda k: KNeighborsRegressor(int(k)), (10, 20, 40, 80, 160)),
    "ridge, tuned": tuned(lambda a: Ridge(a), (10, 100, 1e3, 1e4)),
    "extra-trees, tuned": tuned(
        lambda leaf: ExtraTreesRegressor(
            128, min_samples_leaf=int(leaf), max_features=0.3, n_jobs=-1, random_state=0
        ),
        (3, 10),
    ),
    "matrix factorisation, all features": trained(MatrixFactorisation, "x"),
    "contrastive, all features": trained(Contrastive, "x"),
}
GATES = {
    "MoE², gate=blend (default)": (),
    "MoE², encoder=minilm": ("encoder=minilm",),
    "MoE², gate=trees": ("gate=trees",),
    "MoE², gate=knn": ("gate=knn",),
    "MoE², gate=mlp": ("gate=mlp",),
    "MoE², gate=linear": ("gate=linear",),
    "MoE², gate=two_tower": ("gate=two_tower",),
    "MoE², mixture": ("gate=mlp", "objective=mixture"),
    "MoE², expected_score": ("gate=mlp", "objective=expected_score"),
}


def settings(arguments: argparse.Namespace) -> Iterator[tuple[int, Inputs]]:
    config = configuration(*(SMALL if arguments.models == "small" else ()))
    values = OmegaConf.to_container(config, resolve=True)
    # Taken out, not masked: gates and peers are trained on the models that are there.
    for name in values["expert_pool"]["excluded"]:
        del values["expert_pool"]["experts"][name]
    values["expert_pool"]["excluded"] = []
    pool = ExpertPool.from_mapping(values["expert_pool"])
    for seed in range(arguments.splits):
        data = ExpertOutputsDataModule(
            encoder=config.encoder.name,
            split_seed=seed,
            experts=pool.model_ids,
            category=arguments.category,
            split=arguments.split,
        )
        yield seed, configured_inputs(values, pool, data)


def area(setting: Inputs, ranks: Ranks) -> float:
    """Mean held-out score over twelve energy budgets from the cheapest feasible one to all devices on."""
    _, validation, _ = setting.data.split
    # Classifiers give chances, others any real number: planning needs a value in [0, 1] that keeps the order.
    lowest, highest = min(r.min() for r in ranks), max(r.max() for r in ranks)
    if lowest < 0 or highest > 1:
        ranks = tuple((r - lowest) / (highest - lowest) for r in ranks)
    pool = setting.pool
    router = Router(
        "",
        setting.planner.problem(
            FacilityLocation(pool.expand(ranks[0])), setting.outputs.category[validation]
        ),
        pool.expand(ranks[1]),
        pool.expand(ranks[0]),
    )
    return energy_area(setting, router)


def energy_area(setting: Inputs, router: Router) -> float:
    energies = sorted({budget.energy_j for budget in setting.grid})
    plans = sweep(router.problem, [Budget(energy_j=energy) for energy in energies])
    scores = [held_out(setting).realise(router.rank, plan).score.mean() for plan in plans if plan.experts]
    return float(np.mean(scores))


def compare(arguments: argparse.Namespace) -> None:
    scores: dict[str, list[Floats]] = {}
    areas: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    errors: dict[str, list[list[float]]] = {}

    def note(name: str, setting: Inputs, ranks: Ranks, took: float) -> None:
        rank = setting.pool.expand(ranks[1])
        scores.setdefault(name, []).append(held_out(setting).everything(rank).score)
        areas.setdefault(name, []).append(area(setting, ranks))
        seconds[name] = took

    for seed, setting in settings(arguments):
        problem = Problem.of(setting, seed)
        for name, peer in PEERS.items():
            started = time.perf_counter()
            ranks = peer(problem)
            note(name, setting, ranks, time.perf_counter() - started)
        for name, overrides in GATES.items():
            started = time.perf_counter()
            config = configuration(*overrides)
            data = ExpertOutputsDataModule(**{**setting.data.hparams, "encoder": config.encoder.name})
            gate: GatingModule = fit(config, data, seed)
            took = time.perf_counter() - started
            _, validation, test = data.split
            predicted = [gate.predict(data.features(rows)) for rows in (validation, test)]
            note(name, setting, tuple(p.double().numpy() for p in predicted), took)
            if gate.objective.independent:
                score = torch.from_numpy(setting.outputs.score[test])
                gate.temperature.fill_(1.0)
                before = gate.predict(data.features(test))
                errors.setdefault(name, []).append(
                    [expected_calibration_error(q, score) for q in (before, predicted[1])]
                )
        for key, name in (("lookup", "lookup"), ("family_oracle", "family oracle")):
            router = setting.baselines[key]
            scores.setdefault(name, []).append(held_out(setting).everything(router.rank).score)
            areas.setdefault(name, []).append(energy_area(setting, router))
        scores.setdefault("oracle", []).append(setting.outputs.score[test].max(1).astype(np.float64))
        print(f"split {seed} done", flush=True)

    ours = next(iter(GATES))
    print(
        f"\nSplit {arguments.split}, category {arguments.category}, models {arguments.models}: held-out score\n"
    )
    print(
        "| router | score, mean ± sd | default gate − it, 95 % | area | ECE | fit, s |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for name in sorted(scores, key=lambda n: np.mean([s.mean() for s in scores[n]])):
        means = [s.mean() for s in scores[name]]
        low, high = interval([a - b for a, b in zip(scores[ours], scores[name], strict=True)])
        versus = (
            ""
            if name == ours
            else f"{np.mean([s.mean() for s in scores[ours]]) - np.mean(means):+.4f} ({low:+.4f} to {high:+.4f})"
        )
        cells = [
            f"{np.mean(areas[name]):.4f}" if name in areas else "",
            "{:.3f} → {:.3f}".format(*np.mean(errors[name], axis=0)) if name in errors else "",
            f"{seconds[name]:.1f}" if name in seconds else "",
        ]
        print(f"| {name} | {np.mean(means):.4f} ± {np.std(means):.4f} | {versus} | {' | '.join(cells)} |")


def interval(differences: list[Floats]) -> tuple[float, float]:
    """Paired bootstrap of the mean over splits: queries are drawn anew inside each split."""
    rng = np.random.default_rng(0)
    draws = np.mean(
        [rng.multinomial(len(d), np.full(len(d), 1 / len(d)), size=DRAWS) @ d / len(d) for d in differences],
        axis=0,
    )
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--category", choices=("application", "unknown", "family"), default="application")
    parser.add_argument("--split", choices=("random", "published"), default="random")
    parser.add_argument(
        "--models", choices=("all", "small"), default="all", help="small: the six of 7 to 9 B"
    )
    parser.add_argument("--splits", type=int, default=5, help="how many; each also seeds the training")
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
