"""Whether a gate is worth having on pocket_mix, and which skills carry it: python benchmarks/pocket.py.

Held-out score on the full pool, mean over random splits, of both objectives beside the best single expert, the uniform
ensemble of all experts, and the lookup by application; the difference to each with a paired bootstrap interval. Below,
each skill's share of the gain over the lookup.
"""

import argparse
import logging
import warnings

import numpy as np
from numpy.typing import NDArray

from main_job import configuration, fit
from moe2_pl.outputs import ExpertOutputsDataModule, find_outputs
from routing import interval

Floats = NDArray[np.float64]
GATES = {"MoE², competence": (), "MoE², mixture": ("gate=mlp", "objective=mixture")}


def routed(score: Floats, rank: Floats) -> Floats:
    return score[np.arange(len(rank)), rank.argmax(1)]


def table_of_means(score: Floats, kind: NDArray[np.int64], kinds: int) -> Floats:
    return np.stack([score[kind == k].mean(0) for k in range(kinds)])


def scores(data: ExpertOutputsDataModule, seed: int) -> dict[str, Floats]:
    """Router → held-out score of each query."""
    outputs, (train, _, test) = data.outputs, data.split
    score = outputs.score.astype(np.float64)
    assert outputs.log_prob is not None
    assert outputs.label is not None
    assert outputs.family is not None
    together = np.exp(outputs.log_prob[test].astype(np.float64)).mean(1).argmax(1)
    found = {
        "best single expert": score[test, score[train].mean(0).argmax()],
        "uniform ensemble": (together == outputs.label[test]).astype(np.float64),
    }
    for name, kind, kinds in (
        ("lookup by application", outputs.category, len(outputs.categories)),
        ("family oracle", outputs.family, len(outputs.families)),
    ):
        found[name] = routed(score[test], table_of_means(score[train], kind[train], kinds)[kind[test]])
    for name, overrides in GATES.items():
        gate = fit(configuration("expert_pool=pocket_mix", *overrides), data, seed)
        found[name] = routed(score[test], gate.predict(data.features(test)).double().numpy())
    return found | {"oracle": score[test].max(1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=5, help="how many; each also seeds the training")
    parser.add_argument("--outputs", default="pocket_mix", help="a shipped name or a folder of outputs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    every: dict[str, list[Floats]] = {}
    by_skill: dict[str, list[list[float]]] = {}
    for seed in range(options.splits):
        data = ExpertOutputsDataModule(find_outputs(options.outputs), split_seed=seed)
        found = scores(data, seed)
        for name, values in found.items():
            every.setdefault(name, []).append(values)
        outputs, test = data.outputs, data.split.test
        for k, skill in enumerate(outputs.families):
            here = outputs.family[test] == k
            best = outputs.experts[int(outputs.score[outputs.family == k].mean(0).argmax())]
            row = [here.mean(), *(found[name][here].mean() for name in found)]
            by_skill.setdefault(f"{skill} | {best}", []).append(row)
        print(f"split {seed} done", flush=True)

    first, second = GATES
    print(f"\n| router | score, mean ± sd | {first} − it, 95 % | {second} − it, 95 % |")
    print("| --- | --- | --- | --- |")
    for name, values in sorted(every.items(), key=lambda item: np.mean([v.mean() for v in item[1]])):
        means = [v.mean() for v in values]
        cells = []
        for gate in GATES:
            differences = [a - b for a, b in zip(every[gate], values, strict=True)]
            low, high = interval(differences)
            mean = np.mean([d.mean() for d in differences])
            cells.append("" if name == gate else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        print(f"| {name} | {np.mean(means):.3f} ± {np.std(means):.3f} | {' | '.join(cells)} |")

    columns = ("best single expert", "uniform ensemble", "lookup by application", first, second)
    print(f"\n| skill | its best expert | share | {' | '.join(columns)} |")
    print(f"| {' | '.join('---' for _ in range(len(columns) + 3))} |")
    for skill, rows in sorted(by_skill.items()):
        mean = dict(zip(("share", *every), np.mean(rows, axis=0), strict=True))
        print(f"| {skill} | {mean['share']:.0%} | {' | '.join(f'{mean[c]:.2f}' for c in columns)} |")


if __name__ == "__main__":
    main()
