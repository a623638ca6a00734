"""The way of a query, batches, and how far a figure may be off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe2_pl.errors import MoE2Error
from moe2_pl.pool import Costs, ExpertPool, roofline_costs

BOX = {
    "memory_gb": 60.0,
    "bandwidth_gb_s": 200.0,
    "peak_tflop_s": 40.0,
    "idle_w": 10.0,
    "active_w": 60.0,
    "rate_mbit_s": 8.0,
    "rtt_s": 0.01,
}
LLM = {"device": "box", "params_b": 8.0, "layers": 32, "kv_heads": 8, "head_dim": 128, "bits": 4.0}


def pool(expert: dict | None = None, device: dict | None = None, network: dict | None = None) -> ExpertPool:
    return ExpertPool.from_mapping(
        {
            "name": "one",
            "experts": {"llm": {**LLM, **(expert or {})}},
            "devices": {"box": {**BOX, **(device or {})}},
            "network": network,
        }
    )


def costs(pool: ExpertPool, prompt: float = 500, output: float = 100) -> Costs:
    return roofline_costs(pool, np.array([prompt]), np.array([[output]]))


def test_every_hop_adds_its_delay_and_its_bytes():
    plain = costs(pool())
    network = {
        "user": {"rate_mbit_s": 4.0, "rtt_s": 0.05, "jitter_s": 0.02},
        "gate_s": 0.005,
        "links": {"mast": {"rate_mbit_s": 16.0, "rtt_s": 0.003}},
    }
    far = costs(pool(device={"link": "mast", "jitter_s": 0.001}, network=network))
    # 600 tokens of 4 bytes: 4.8 ms at 4 Mbit/s, 1.2 ms at 16.
    more = (0.05 + 0.02 + 0.0048) + 0.005 + (0.003 + 0.0012) + 0.001
    assert far.latency_s[0, 0] == pytest.approx(plain.latency_s[0, 0] + more, rel=1e-12)
    assert far.link_s[0, 0] == pytest.approx(0.0012)
    assert far.busy_s[0, 0] == plain.busy_s[0, 0]
    assert plain.link_s[0, 0] == 0.0


@given(rate=st.floats(0.1, 1000), faster=st.floats(1, 100), prompt=st.integers(1, 5000))
def test_a_faster_link_is_never_slower(rate: float, faster: float, prompt: int):
    slow, fast = (
        costs(pool(network={"user": {"rate_mbit_s": r, "rtt_s": 0.01}}), prompt)
        for r in (rate, rate * faster)
    )
    assert fast.latency_s[0, 0] <= slow.latency_s[0, 0]


def test_a_batch_reads_the_weights_once():
    device = {"mfu": 0.5, "mbu": 0.5}
    alone, four = costs(pool(device=device), 0), costs(pool({"batch": 4}, device), 0)
    cache_gb = 100 * 50 * 2 * 32 * 8 * 128 * 2 / 1e9
    assert alone.latency_s[0, 0] == pytest.approx(alone.busy_s[0, 0] + 0.01 + 0.0004)
    # Every answer waits for a pass over the weights and four caches; a fourth of that is its own.
    assert four.busy_s[0, 0] == pytest.approx((100 * 4.0 + 4 * cache_gb) / 100 / 4)
    assert four.latency_s[0, 0] == pytest.approx((100 * 4.0 + 4 * cache_gb) / 100 + 0.0104)
    assert four.energy_j[0, 0] == pytest.approx(50 * four.busy_s[0, 0])
    per_cache = 2 * 32 * 8 * 128 * 2 * 4096 / 1e9
    assert pool({"batch": 4}).memory_gb[0] == pytest.approx(pool().memory_gb[0] + 3 * per_cache)


def test_a_large_batch_is_bound_by_arithmetic():
    device = {"mfu": 0.5, "mbu": 1.0, "bandwidth_gb_s": 1e12}
    assert costs(pool({"batch": 64}, device), 0, 10).busy_s[0, 0] == pytest.approx(10 * 2 * 8e9 / 20e12)


@given(batch=st.integers(1, 64))
def test_a_larger_batch_never_costs_an_answer_more_energy_and_never_answers_it_sooner(batch: int):
    small, large = (costs(pool({"batch": b, "context_tokens": 256}), 100) for b in (batch, batch + 1))
    assert large.energy_j[0, 0] <= small.energy_j[0, 0] * (1 + 1e-12)
    assert large.latency_s[0, 0] >= small.latency_s[0, 0] * (1 - 1e-12)


def test_a_mixture_of_experts_reads_more_weights_for_a_batch():
    sparse = {"active_params_b": 1.0}
    one, two = (costs(pool({**sparse, "batch": b}), 0) for b in (1, 2))
    assert two.latency_s[0, 0] > 1.8 * one.latency_s[0, 0] - 0.02


def test_a_device_says_how_far_its_figures_may_be_off():
    assert costs(pool(device={"speed_error": 0.2})).speed_error.tolist() == [0.2]
    assert np.isnan(costs(pool()).speed_error).all()


def test_a_network_survives_the_round_trip():
    network = {
        "user": {"rate_mbit_s": 4.0, "rtt_s": 0.05},
        "links": {"mast": {"rate_mbit_s": 16.0, "rtt_s": 0.003}},
    }
    first = pool(device={"link": "mast"}, network=network)
    again = ExpertPool.from_mapping(first.to_mapping())
    assert again.to_mapping() == first.to_mapping()
    assert again.way(0) == first.way(0)


@pytest.mark.parametrize(
    ("device", "network", "message"),
    [
        ({"link": "mast"}, {}, "unknown link of device 'box' 'mast': Known: none"),
        ({"rate_mbit_s": 0.0}, {}, "rate_mbit_s is 0.0; it must be finite and > 0"),
        ({}, {"user": {"rate_mbit_s": 0.0, "rtt_s": 0.1}}, "the user's link: rate_mbit_s is 0.0"),
        ({}, {"user": {"rate_mbit_s": 1.0}}, "the user's link lacks rtt_s"),
        ({}, {"links": {"mast": {"rate_mbits_s": 1.0}}}, "key of link 'mast' 'rate_mbits_s': did you mean"),
        ({}, {"gate_s": -1.0}, "network: gate_s is -1.0"),
        ({}, {"uesr": None}, "key of the network 'uesr': did you mean 'user'"),
        ({"mfu": 2.0}, {"gate_s": -1.0}, "mfu is 2.0.*; network: gate_s is -1.0"),
    ],
)
def test_what_a_network_cannot_be(device, network, message):
    with pytest.raises(MoE2Error, match=message):
        pool(device=device, network=network)
