"""The calibration command, with a real model on this machine's processor."""

import pytest
import torch
import yaml
from tests.smollm2 import FILE, folder

from moe2_pl.experts import RunningModel, measured_peaks, timed_observations
from moe2_pl.experts.calibrate import cross_predicted, main
from moe2_pl.pool import DeviceProfile, Expert, Observation, calibrated, predicted_s

WATTS = ["--idle-w", "20", "--active-w", "65"]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("device") / "mine.yaml"
    arguments = [f"{folder()}:{FILE}", "--device", "cpu", "--repeats", "1", "--out", str(out), *WATTS]
    assert main(arguments) == 0
    assert [file.name for file in out.parent.iterdir()] == ["mine.yaml"]
    return yaml.safe_load(out.read_text())


def test_the_file_is_a_device(written):
    device = DeviceProfile("mine", **written)
    assert (device.idle_w, device.active_w, device.decoding_w) == (20, 65, 65)
    assert 0 < device.mfu <= 1
    assert 0 < device.mbu <= 1
    assert 1 < device.bandwidth_gb_s < 2000
    assert "watts given by hand" in device.source


@pytest.mark.slow
def test_the_calibrated_device_predicts_what_is_measured_again(written):
    device = DeviceProfile("mine", **written)
    running = RunningModel.load(str(folder()), "cpu", torch.float32, FILE)
    assert running.expert.bits == 32
    assert running.expert.params_b == pytest.approx(0.1345, rel=0.01)
    errors = [abs(predicted_s(device, o) / o.seconds - 1) for o in timed_observations(running, repeats=2)]
    # Other work on the machine slows single points; the middle one holds.
    assert sorted(errors)[len(errors) // 2] < 0.5


def test_peaks_are_those_of_a_processor():
    peaks = measured_peaks("cpu", torch.float32)
    assert 0.005 < peaks.tflop_s < 50
    assert 0.5 < peaks.gb_s < 2000


def test_halves_do_not_see_their_own_points():
    device = DeviceProfile("box", 60, 200.0, 40.0, idle_w=10, active_w=60)
    llm = Expert("llm", "box", 1.0, 16, 8, 64, 16.0)
    points = [Observation(llm, p, p, 0, 0.001 * p) for p in (64, 128, 256)] + [
        Observation(llm, 0, 64, 8, 0.2)
    ]
    moved = [*points[:3], Observation(llm, 0, 64, 8, 2.0)]
    before, after = cross_predicted(device, points), cross_predicted(device, moved)
    # Points 1 and 3 are one half: what they say moves the others only.
    assert before[1] == after[1]
    assert before[3] == after[3]
    assert before[0] != after[0]
    assert predicted_s(calibrated(device, points), points[0]) != before[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}:{file}", "--device", "cpu"], "nothing here meters the power of 'cpu'; give --idle-w"),
        (["{folder}:other.gguf", "--device", "cpu", *WATTS], "holds no other.gguf; its GGUF files: {file}"),
        (["/no/such/model", "--device", "cpu", *WATTS], "model '/no/such/model' cannot be loaded"),
        (["x", "--device", "gpu7", *WATTS], "--device 'gpu7' is not a torch device"),
        (["x", "--device", "cpu", "--repeats", "0", *WATTS], "--repeats is 0"),
        (["x", "--device", "cpu", "--out", "/no/such/mine.yaml", *WATTS], "there is no folder /no/such"),
    ],
)
def test_what_cannot_be_calibrated_is_one_line(arguments, message, capsys):
    here = {"folder": str(folder()), "file": FILE}
    assert main([a.format(**here) for a in arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message.format(**here) in error
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(capsys):
    assert main(["x", "--device", "cuda"]) == 1
    assert "torch finds no NVIDIA GPU here" in capsys.readouterr().err
