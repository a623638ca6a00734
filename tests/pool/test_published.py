"""The cost model against published speeds, each point predicted by a fit that did not see it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from costs import catalogue, groups, judged, points, speed_errors
from moe2_pl.errors import PoolError
from moe2_pl.pool import DeviceProfile, Expert, Observation, calibrated, predicted_s


def test_half_of_the_points_predict_the_other_half():
    devices = catalogue()
    pairs = [pair for (name, _), group in groups().items() for pair in judged(group, devices[name])]
    measured = np.array([point.observation.seconds for point, _ in pairs])
    predicted = np.array([seconds for _, seconds in pairs])
    error = np.abs(predicted / measured - 1)
    assert len(error) >= 80
    assert np.median(error) <= 0.08
    assert np.quantile(error, 0.9) <= 0.25
    assert spearmanr(predicted, measured).statistic >= 0.95


def test_every_published_point_is_of_a_device_that_can_be_had():
    sources = (Path(__file__).parents[2] / "docs" / "data" / "published_sources.csv").read_text()
    for point in points():
        assert point.device in catalogue()
        assert f"\n{point.source}," in sources


def test_the_catalogue_says_where_its_figures_come_from():
    for name, device in catalogue().items():
        if name == "rtx_3090_ti":
            continue
        assert "assumed" in device.source, name
        for mode in device.modes:
            slower = DeviceProfile(
                **{**{k: getattr(device, k) for k in device.__dataclass_fields__}, "mode": mode}
            )
            assert slower.peak_tflop_s <= device.peak_tflop_s
            assert slower.decoding_w <= device.decoding_w


def test_devices_say_how_far_their_published_speeds_are_off():
    devices = catalogue()
    for name, (count, error) in speed_errors(devices).items():
        if count >= 5:
            assert devices[name].speed_error == pytest.approx(error, abs=0.01), name
        else:
            assert devices[name].speed_error is None, name


def test_efficiencies_are_found_again():
    true = DeviceProfile("box", 60, 200, 40, 10, 60, mfu=0.37, mbu=0.62, layer_overhead_s=8e-5)
    sizes = [(0.6, 28, 1024), (1.7, 28, 2048), (8.0, 36, 4096), (14.0, 48, 5120)]
    seen = []
    for params_b, layers, hidden in sizes:
        expert = Expert("llm", "box", params_b, layers, 8, 128, 4.5, heads=16, vocab=32000, hidden=hidden)
        for prompt, output in ((2048.0, 0.0), (0.0, 64.0)):
            unmeasured = Observation(expert, prompt, 2048, output, 1.0)
            seen.append(Observation(expert, prompt, 2048, output, predicted_s(true, unmeasured)))
    fitted = calibrated(DeviceProfile("box", 60, 200, 40, 10, 60), seen)
    assert fitted.mfu == pytest.approx(0.37, rel=0.02)
    assert fitted.mbu == pytest.approx(0.62, rel=0.02)
    # Of small models' seconds it is a third: the pull towards 50 µs shows.
    assert fitted.layer_overhead_s == pytest.approx(8e-5, rel=0.15)


def test_nothing_can_be_learned_from_nothing():
    box = DeviceProfile("box", 60, 200, 40, 10, 60)
    with pytest.raises(PoolError, match="nothing was measured"):
        calibrated(box, [])
    expert = Expert("llm", "box", 8.0, 32, 8, 128, 4.5)
    with pytest.raises(PoolError, match=r"measured 0\.0 seconds"):
        calibrated(box, [Observation(expert, 100, 100, 0, 0.0)])
