"""The cost model agrees with arithmetic done by hand and moves the way physics does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe2_pl.errors import UnknownNameError
from moe2_pl.pool import DeviceProfile, Expert, ExpertPool, category_means, roofline_costs, utilisation

BOX = {"memory_gb": 60.0, "bandwidth_gb_s": 200.0, "peak_tflop_s": 40.0, "idle_w": 10.0, "active_w": 60.0}
LLM = {"device": "box", "params_b": 8.0, "layers": 32, "kv_heads": 8, "head_dim": 128, "bits": 4.0}


def one(device: dict[str, float] | None = None, expert: dict[str, float] | None = None) -> ExpertPool:
    box = DeviceProfile("box", **{**BOX, **(device or {})})
    return ExpertPool("one", (Expert("llm", **{**LLM, **(expert or {})}),), (box,))


def busy(pool: ExpertPool, prompt: float, output: float) -> float:
    return float(roofline_costs(pool, np.array([prompt]), np.array([[output]])).busy_s[0, 0])


def test_prefill_and_decoding_match_a_hand_computed_example():
    pool = one({"mfu": 0.5, "mbu": 0.5, "layer_overhead_s": 0.001, "rate_mbit_s": 8.0, "rtt_s": 0.01})
    costs = roofline_costs(pool, np.array([1000]), np.array([[100.0]]))
    # Arithmetic of the weights and of attention to half of all pairs, one pass's 32 layers.
    prefill_s = (1000 * 2 * 8e9 + 2 * 32 * 8 * 128 * 1000**2) / (40e12 * 0.5) + 32 * 0.001
    kv_gb = 2 * 32 * 8 * 128 * 2 / 1e9
    decode_s = 100 * ((4.0 + kv_gb * 1050) / 100 + 32 * 0.001)
    assert costs.busy_s[0, 0] == pytest.approx(prefill_s + decode_s, rel=1e-12)
    # 1,100 tokens of 4 bytes over 8 Mbit/s take 4.4 ms.
    assert costs.latency_s[0, 0] == pytest.approx(prefill_s + decode_s + 0.01 + 0.0044, rel=1e-12)
    assert costs.energy_j[0, 0] == pytest.approx(50 * (prefill_s + decode_s), rel=1e-12)
    assert costs.label == ("modelled",)


def test_a_short_prompt_waits_for_the_weights():
    pool = one({"mfu": 0.5, "mbu": 0.5})
    assert busy(pool, 2, 0) == pytest.approx(4.0 / 100, rel=1e-12)
    assert busy(pool, 0, 0) == 0.0


def test_tables_of_tokens_are_multiplied_once_and_read_as_they_are_stored():
    tables = {"vocab": 100_000, "hidden": 10_000, "head_bits": 16.0}
    tied, untied = (one(expert={**tables, "tied": tied}).experts[0] for tied in (True, False))
    assert tied.weight_gb == pytest.approx((7 * 4 + 1 * 16) / 8)
    assert untied.weight_gb == pytest.approx((6 * 4 + 2 * 16) / 8)
    # Of the embedding a token reads one row.
    assert untied.active_weight_gb == pytest.approx((6 * 4 + 1 * 16) / 8)
    pool = one({"mfu": 0.5, "mbu": 1.0, "bandwidth_gb_s": 1e12}, {**tables, "tied": True})
    flops = 1000 * 2 * 7e9 + 2 * 1e9 + 2 * 32 * 8 * 128 * 1000**2
    assert busy(pool, 1000, 0) == pytest.approx(flops / 20e12, rel=1e-9)


def test_writing_may_draw_less_than_reading():
    pool = one({"decode_w": 30.0, "mfu": 0.5, "mbu": 0.5})
    reading, writing = busy(pool, 1000, 0), busy(pool, 1000, 50) - busy(pool, 1000, 0)
    energy_j = roofline_costs(pool, np.array([1000]), np.array([[50.0]])).energy_j[0, 0]
    assert energy_j == pytest.approx(50 * reading + 20 * writing)


def test_a_power_mode_replaces_figures():
    modes = {"15W": {"peak_tflop_s": 10.0, "active_w": 20.0, "idle_w": 8.0}}
    slow = one({"mode": "15W", "modes": modes})
    assert busy(slow, 1000, 0) > 3 * busy(one(), 1000, 0)
    assert slow.devices[0].idle_w == 8.0
    again = ExpertPool.from_mapping(slow.to_mapping())
    assert again.devices == slow.devices
    with pytest.raises(UnknownNameError, match="did you mean '15W'"):
        one({"mode": "15w", "modes": modes})
    with pytest.raises(UnknownNameError, match="did you mean 'active_w'"):
        one({"modes": {"15W": {"activ_w": 3.0}}})


def test_a_mixture_of_experts_model_reads_only_its_active_weights():
    dense, sparse = one(), one(expert={"active_params_b": 1.0})
    assert busy(sparse, 0, 10) < busy(dense, 0, 10) / 6
    # A long prompt needs every one of its experts once.
    fast = {"mfu": 1.0, "peak_tflop_s": 1e9}
    assert busy(one(fast, {"active_params_b": 1.0}), 1000, 0) == pytest.approx(busy(one(fast), 1000, 0))


@given(
    prompt=st.floats(0, 4096),
    output=st.floats(0, 2048),
    factor=st.floats(1.01, 10),
    key=st.sampled_from(["bandwidth_gb_s", "peak_tflop_s"]),
)
def test_a_faster_device_is_never_slower(prompt, output, factor, key):
    assert busy(one({key: BOX[key] * factor}), prompt, output) <= busy(one(), prompt, output)


@given(prompt=st.floats(0, 4096), output=st.floats(0, 2048), more=st.floats(0, 100))
def test_more_tokens_are_never_cheaper(prompt, output, more):
    base = busy(one(), prompt, output)
    assert busy(one(), prompt + more, output) >= base
    assert busy(one(), prompt, output + more) >= base


@given(prompt=st.floats(0, 4096), output=st.floats(0, 2048))
def test_energy_is_power_above_idle_times_busy_seconds(prompt, output):
    costs = roofline_costs(one(), np.array([prompt]), np.array([[output]]))
    assert costs.energy_j[0, 0] == pytest.approx((60 - 10) * costs.busy_s[0, 0])


def test_category_means_are_nan_where_there_are_no_queries():
    means = category_means(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 0]), 2)
    assert means[0].tolist() == [2.0, 3.0]
    assert np.isnan(means[1]).all()


def test_utilisation_counts_only_the_device_that_answers():
    busy_s = np.array([[1.0, 9.0], [9.0, 4.0]])
    rho = utilisation(busy_s, np.array([0, 1]), np.array([0, 1]), 2, queries_per_s=0.5)
    assert rho.tolist() == [0.25, 1.0]


@given(
    idle=st.floats(1, 50),
    reading=st.floats(0, 200),
    writing=st.floats(0, 200),
    prompt=st.integers(0, 3000),
    output=st.integers(0, 500),
)
def test_energy_is_the_integral_of_power_above_idle(
    idle: float, reading: float, writing: float, prompt: int, output: int
):
    pool = one({"idle_w": idle, "active_w": idle + reading, "decode_w": idle + writing})
    costs = roofline_costs(pool, np.array([prompt]), np.array([[float(output)]]))
    until = busy(pool, prompt, 0)
    time_s = np.linspace(0, costs.busy_s[0, 0], 4001)
    middle = (time_s[1:] + time_s[:-1]) / 2
    power_w = np.where(middle < until, idle + reading, idle + writing)
    integral_j = float(((power_w - idle) * np.diff(time_s)).sum())
    # The step between reading and writing falls inside one of the 4,000 slices.
    slack = (reading + writing) * costs.busy_s[0, 0] / 4000
    assert costs.energy_j[0, 0] == pytest.approx(integral_j, abs=slack + 1e-9)
