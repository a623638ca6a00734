"""The cost model against published speeds: python benchmarks/costs.py.

Each device's efficiencies are fitted on half of its points and judged on the other half, and the other way round, so
that every point is predicted once by a fit that did not see it. Points: docs/data/published_speeds.csv.
"""

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from scipy.stats import spearmanr

from moe2_pl.pool import (
    DeviceProfile,
    Expert,
    ExpertPool,
    Observation,
    architecture,
    calibrated,
    predicted_s,
    roofline_costs,
)

ROOT = Path(__file__).parent.parent
DATA = ROOT / "docs" / "data"
# Measured, but in no catalogue.
RTX_3090_TI = DeviceProfile("rtx_3090_ti", 23, 1008, 80, idle_w=65, active_w=500)


@dataclass(frozen=True)
class Point:
    device: str
    runtime: str
    model: str
    quantity: str
    value: float
    watts: float | None
    source: str
    observation: Observation


def points() -> list[Point]:
    configs = json.loads((DATA / "model_configs.json").read_text())
    found = []
    with (DATA / "published_speeds.csv").open() as file:
        for row in csv.DictReader(file):
            expert = Expert(
                row["model"],
                row["device"],
                bits=float(row["bits"]),
                head_bits=float(row["head_bits"]),
                **architecture(configs[row["model"]]),
            )
            prompt, output, value = (float(row[k]) for k in ("prompt", "output", "value"))
            reads = 0.0 if row["quantity"] == "decode_tok_s" else prompt
            seconds = value if row["quantity"] == "prefill_s" else output / value
            observation = Observation(expert, reads, prompt, output, seconds)
            watts = float(row["watts"]) if row["watts"] else None
            found.append(
                Point(
                    *(row[k] for k in ("device", "runtime", "model", "quantity")),
                    value,
                    watts,
                    row["source"],
                    observation,
                )
            )
    return found


def catalogue() -> dict[str, DeviceProfile]:
    devices = {
        file.stem: DeviceProfile(file.stem, **OmegaConf.to_container(OmegaConf.load(file)))
        for file in sorted((ROOT / "conf" / "device").glob("*.yaml"))
    }
    return {**devices, "rtx_3090_ti": RTX_3090_TI}


def halves(group: list[Point]) -> tuple[list[Point], list[Point]]:
    """Every other point in order of quantity and bytes: both halves hold small models and large ones."""
    ordered = sorted(group, key=lambda p: (p.quantity, p.observation.expert.active_weight_gb))
    return ordered[::2], ordered[1::2]


def judged(group: list[Point], device: DeviceProfile) -> list[tuple[Point, float]]:
    """Every point with its prediction by the half that it is not in."""
    first, second = halves(group)
    result = []
    for seen, unseen in ((first, second), (second, first)):
        if seen:
            fitted = calibrated(device, [p.observation for p in seen])
            result += [(p, predicted_s(fitted, p.observation)) for p in unseen]
    return result


def groups() -> dict[tuple[str, str], list[Point]]:
    found = defaultdict(list)
    for point in points():
        found[point.device, point.runtime].append(point)
    return dict(found)


def speed_errors(devices: dict[str, DeviceProfile]) -> dict[str, tuple[int, float]]:
    """Of each device as it stands in the catalogue: points, and what nine in ten of them are within."""
    found = defaultdict(list)
    for point in points():
        found[point.device].append(
            abs(relative(point, predicted_s(devices[point.device], point.observation)))
        )
    return {name: (len(errors), float(np.quantile(errors, 0.9))) for name, errors in found.items()}


def relative(point: Point, predicted: float) -> float:
    return predicted / point.observation.seconds - 1


def main() -> None:
    devices = catalogue()
    every: list[tuple[Point, float]] = []
    print("| device, runtime | points | median error | largest | MFU | MBU | overhead of a layer, µs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (name, runtime), group in groups().items():
        found = judged(group, devices[name])
        every += found
        fitted = calibrated(devices[name], [p.observation for p in group])
        reads = any(p.quantity != "decode_tok_s" for p in group)
        errors = [abs(relative(*pair)) for pair in found]
        shown = f"{np.median(errors):.1%} | {max(errors):.1%}" if errors else "– | –"
        print(
            f"| {name}, {runtime} | {len(group)} | {shown} | {f'{fitted.mfu:.3f}' if reads else '–'} | "
            f"{fitted.mbu:.3f} | {fitted.layer_overhead_s * 1e6:.0f} |"
        )
    errors = np.array([abs(relative(*pair)) for pair in every])
    order = spearmanr([s for _, s in every], [p.observation.seconds for p, _ in every]).statistic
    print(
        f"\n{len(every)} points, each predicted by the half that it is not in: median error {np.median(errors):.1%}, "
        f"nine in ten within {np.quantile(errors, 0.9):.1%}, largest {errors.max():.1%}, Spearman {order:.3f}\n"
    )
    print("| device, runtime | model | what | published | predicted | error | source |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for point, predicted in every:
        o = point.observation
        what = {
            "prefill_s": f"s to read {o.prompt_tokens:.0f}",
            "decode_tok_s": f"tokens/s after {o.context_tokens:.0f}",
            "answer_tok_s": f"tokens/s, {o.prompt_tokens:.0f} read",
        }[point.quantity]
        shown = predicted if point.quantity == "prefill_s" else o.output_tokens / predicted
        print(
            f"| {point.device}, {point.runtime} | {point.model}, {o.expert.bits:g} bit | {what} | {point.value:.4g} | "
            f"{shown:.4g} | {relative(point, predicted):+.1%} | {point.source} |"
        )
    print("\nThe catalogue as it is, over all runtimes:\n")
    print("| device | points | nine in ten within |\n| --- | --- | --- |")
    for name, (count, error) in speed_errors(devices).items():
        print(f"| {name} | {count} | {error:.0%} |")
    print("\nThe catalogue as it is, joules of a written token, idle power included:\n")
    print("| device | model | published | catalogue | error |\n| --- | --- | --- | --- | --- |")
    for point in points():
        if point.watts is None:
            continue
        device, o = devices[point.device], point.observation
        pool = ExpertPool("one", (o.expert,), (device,))
        empty, full = (
            roofline_costs(pool, np.array([o.context_tokens]), np.array([[out]]))
            for out in (0.0, o.output_tokens)
        )
        seconds = float(full.busy_s[0, 0] - empty.busy_s[0, 0])
        joules = float(full.energy_j[0, 0] - empty.energy_j[0, 0]) + device.idle_w * seconds
        published = point.watts / point.value
        per_token = joules / o.output_tokens
        print(
            f"| {point.device} | {point.model}, {o.expert.bits:g} bit | {published:.3g} | {per_token:.3g} | "
            f"{per_token / published - 1:+.0%} |"
        )


if __name__ == "__main__":
    main()
