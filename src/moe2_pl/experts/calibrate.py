"""Calibrate the cost model on the device at hand, and write it down as a file for ``conf/device/``.

    python -m moe2_pl.experts.calibrate HuggingFaceTB/SmolLM2-135M-Instruct \\
        --idle-w 20 --active-w 65 --out conf/device/mine.yaml

Peak arithmetic and bandwidth are measured with a large matrix product and a large array, prompts and written tokens
with the models, and MFU, MBU and the overhead of a layer fitted to them. Every point is also predicted by a fit to the
other half of the points, and the errors printed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError, exit_status
from moe2_pl.experts._measuring._machine import measured_peaks, memory_gb
from moe2_pl.experts._measuring._meter import Meter
from moe2_pl.experts._measuring._timing import RunningModel, timed_observations
from moe2_pl.pool import DeviceProfile, Observation, calibrated, predicted_s

__all__ = ["cross_predicted", "main"]

_FREE = 0.9  # of the memory: the rest is the system's


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _calibrate(options), "interrupted; nothing was written")


def cross_predicted(device: DeviceProfile, observations: Sequence[Observation]) -> list[float]:
    """Seconds of each observation by a fit to every other one of them, its own half left out."""
    found = [0.0] * len(observations)
    for own in (0, 1):
        fitted = calibrated(device, observations[1 - own :: 2])
        for k in range(own, len(observations), 2):
            found[k] = predicted_s(fitted, observations[k])
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moe2_pl.experts.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "models", nargs="+", help="Hub ids or folders; FOLDER:FILE.gguf for a GGUF file in a folder"
    )
    parser.add_argument("--device", help="a torch device: cpu, cuda, cuda:1 (default: the first GPU, or cpu)")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="default: float32 on cpu, else float16"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each point; the median counts (5)")
    parser.add_argument(
        "--idle-w", type=float, help="watts at the wall, waiting; needed where nothing is metered"
    )
    parser.add_argument("--active-w", type=float, help="watts while it reads a prompt")
    parser.add_argument("--decode-w", type=float, help="watts while it writes (default: --active-w)")
    parser.add_argument("--out", type=Path, help="the file to write (default: print it)")
    return parser


def _calibrate(options: argparse.Namespace) -> None:
    try:
        import torch
    except ImportError as error:  # pragma: no cover
        raise ConfigError(f"calibrating needs torch ({error})") from error
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    _check(device, options)
    meter = Meter.here(device)
    if meter is None and (options.idle_w is None or options.active_w is None):
        raise ConfigError(
            f"nothing here meters the power of '{device}'; give --idle-w and --active-w, watts at the wall"
        )
    dtype = getattr(torch, options.dtype or ("float32" if device == "cpu" else "float16"))
    observations: list[Observation] = []
    watts: dict[str, float] = {}
    for name in options.models:
        folder, _, file = name.partition(":") if name.endswith(".gguf") else (name, "", "")
        running = RunningModel.load(folder, device, dtype, file or None)
        print(
            f"timing {running.expert.name} ({running.expert.params_b:.3g} billion parameters) …", flush=True
        )
        observations += timed_observations(running, options.repeats)
        if meter is not None and not watts:
            watts = meter.watts(running)
    print(f"measuring the peaks of '{device}' in {dtype} …", flush=True)
    peaks = measured_peaks(device, dtype)
    print(f"  {peaks.tflop_s:.3g} TFLOP/s, {peaks.gb_s:.3g} GB/s", flush=True)
    power: dict[str, Any] = _power(options, watts)
    profile = DeviceProfile(
        name=device.replace(":", ""),
        memory_gb=round(_FREE * memory_gb(device), 1),
        bandwidth_gb_s=float(f"{peaks.gb_s:.3g}"),
        peak_tflop_s=float(f"{peaks.tflop_s:.3g}"),
        **power,
    )
    errors = _table(profile, observations)
    fitted = calibrated(profile, observations)
    text = _yaml(fitted, float(np.quantile(np.abs(errors), 0.9)), str(dtype), options, sorted(watts))
    if options.out is None:
        print(text, end="")
        return
    partial = options.out.with_name(options.out.name + ".part")
    partial.write_text(text)
    partial.replace(options.out)
    print(f"wrote {options.out}")


def _check(device: str, options: argparse.Namespace) -> None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ConfigError(f"--device '{device}' is not a torch device: cpu, cuda or cuda:1, say") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"--device '{device}': torch finds no NVIDIA GPU here; cpu is left")
    if options.repeats < 1:
        raise ConfigError(f"--repeats is {options.repeats}; at least 1 is needed")
    if options.out is not None and not options.out.parent.is_dir():
        raise ConfigError(f"--out: there is no folder {options.out.parent}")


def _power(options: argparse.Namespace, watts: dict[str, float]) -> dict[str, float]:
    """Watts as given, else as metered."""
    found: dict[str, float] = {}
    for key in ("idle_w", "active_w", "decode_w"):
        given = getattr(options, key)
        value = given if given is not None else watts.get(key)
        if value is not None:
            found[key] = round(value, 1)
    return found


def _table(profile: DeviceProfile, observations: Sequence[Observation]) -> NDArray[np.float64]:
    """Print every point beside its prediction by the half that it is not in; returns the relative errors."""
    from scipy.stats import spearmanr

    predicted = np.array(cross_predicted(profile, observations))
    measured = np.array([o.seconds for o in observations])
    errors: NDArray[np.float64] = predicted / measured - 1
    print("| model | what | measured | predicted | error |\n| --- | --- | --- | --- | --- |")
    for o, p, e in zip(observations, predicted, errors, strict=True):
        what = f"prompt of {o.prompt_tokens:g}"
        if o.output_tokens:
            what = f"{o.output_tokens:g} written after {o.context_tokens:g}"
        print(f"| {o.expert.name} | {what} | {o.seconds:.3g} s | {p:.3g} s | {e:+.0%} |")
    order = spearmanr(predicted, measured).statistic
    print(
        f"{len(errors)} points, each predicted by the half that it is not in: median error "
        f"{np.median(np.abs(errors)):.1%}, largest {np.abs(errors).max():.1%}, Spearman {order:.3f}"
    )
    return errors


def _yaml(
    device: DeviceProfile, speed_error: float, dtype: str, options: argparse.Namespace, metered: Sequence[str]
) -> str:
    cores = f", {os.cpu_count()} cores" if device.name == "cpu" else ""
    watts = f"{', '.join(metered)} metered" if metered else "watts given by hand"
    source = (
        f"python -m moe2_pl.experts.calibrate, PyTorch {dtype.removeprefix('torch.')}{cores}: peaks measured, "
        f"mfu, mbu, layer_overhead_s fitted; {watts}"
    )
    decode = "" if device.decode_w is None else f"decode_w: {device.decode_w:g}\n"
    return (
        f"memory_gb: {device.memory_gb:g}\n"
        f"bandwidth_gb_s: {device.bandwidth_gb_s:g}\n"
        f"peak_tflop_s: {device.peak_tflop_s:g}\n"
        f"idle_w: {device.idle_w:g}\n"
        f"active_w: {device.active_w:g}\n"
        f"{decode}"
        f"mfu: {device.mfu:.3f}\n"
        f"mbu: {device.mbu:.3f}\n"
        f"layer_overhead_s: {device.layer_overhead_s:.2e}\n"
        f"speed_error: {speed_error:.2f}\n"
        f'source: "{source}"\n'
    )


if __name__ == "__main__":
    sys.exit(main())
