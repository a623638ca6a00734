"""A pool survives a round trip, and one that contradicts itself is refused with one line."""

import numpy as np
import pytest

from moe2_pl.errors import MoE2Error
from moe2_pl.pool import ExpertPool

DEVICE = {
    "memory_gb": 24.0,
    "bandwidth_gb_s": 1008.0,
    "peak_tflop_s": 165.0,
    "idle_w": 70.0,
    "active_w": 450.0,
}
EXPERT = {"device": "card", "params_b": 8.0, "layers": 32, "kv_heads": 8, "head_dim": 128, "bits": 8.0}


def config(expert: dict | None = None, device: dict | None = None) -> dict:
    return {
        "name": "home",
        "experts": {"llama": {**EXPERT, **(expert or {})}},
        "devices": {"card": {**DEVICE, **(device or {})}},
    }


def test_a_pool_survives_the_round_trip_through_its_mapping():
    pool = ExpertPool.from_mapping(config({"quality_loss": 0.01}))
    again = ExpertPool.from_mapping(pool.to_mapping())
    assert again.to_mapping() == pool.to_mapping()
    assert again.fingerprint() == pool.fingerprint()
    assert pool.fingerprint() != ExpertPool.from_mapping(config()).fingerprint()


def test_expand_repeats_columns_over_placements_and_takes_off_quality_loss():
    both = config()
    both["experts"] = {
        "full": {**EXPERT, "model_id": "llama"},
        "other": {**EXPERT, "params_b": 1.0},
        "small": {**EXPERT, "model_id": "llama", "bits": 4.0, "quality_loss": 0.1},
    }
    pool = ExpertPool.from_mapping(both)
    assert pool.model_ids == ("llama", "other")
    np.testing.assert_allclose(pool.expand(np.array([[0.8, 0.3]])), [[0.8, 0.3, 0.7]])


@pytest.mark.parametrize(
    ("expert", "device", "message"),
    [
        ({"device": "cord"}, {}, "did you mean 'card'"),
        (
            {"params_b": 150.0},
            {},
            "needs 151.0 GB at 8 bit, 127.0 GB more than 'card' has: no precision fits",
        ),
        ({"params_b": 33.0}, {}, "needs 34.0 GB at 8 bit, 10.0 GB more than 'card' has: 4.85 bit would fit"),
        ({"bits": 0.0}, {}, "bits is 0.0; it must be finite and > 0"),
        ({"bitz": 4.0}, {}, "did you mean 'bits'"),
        ({"params_b": None}, {}, "expert 'llama' lacks params_b"),
        ({"active_params_b": 9.0}, {}, "at most params_b = 8.0"),
        ({}, {"bandwidth_gb_s": 0.0}, "bandwidth_gb_s is 0.0; it must be finite and > 0"),
        ({}, {"active_w": 10.0}, "active_w 10.0 is below idle_w 70.0"),
        ({}, {"mbu": 1.5}, "mbu is 1.5; it is a share, at most 1"),
        ({}, {"idle_w": float("nan")}, "idle_w is nan"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused_with_one_line(expert, device, message):
    with pytest.raises(MoE2Error) as caught:
        ExpertPool.from_mapping(config(expert, device))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    wrong = config({"bits": 0.0}, {"bandwidth_gb_s": 0.0})
    wrong["devices"]["orin"] = {**DEVICE, "mode": "15W"}
    with pytest.raises(MoE2Error) as caught:
        ExpertPool.from_mapping(wrong)
    for part in ("'llama': bits is 0.0", "'card': bandwidth_gb_s is 0.0", "mode of device 'orin' '15W'"):
        assert part in str(caught.value)


def test_a_pool_without_experts_is_refused():
    with pytest.raises(MoE2Error, match="has no experts"):
        ExpertPool("empty", (), ())
