"""One budget in many units."""

import pytest

from moe2_pl.errors import ConfigError
from moe2_pl.planning._budgets import configured_budget, unlimited_told
from moe2_pl.selection import Budget

NONE = dict.fromkeys(
    (
        "preset",
        "latency_s",
        "energy_j",
        "energy_wh",
        "cost_usd",
        "co2_g",
        "power_w",
        "day_kwh",
        "day_usd",
        "day_co2_kg",
    )
)
TARIFF = {"usd_per_kwh": 0.25, "co2_g_per_kwh": 500.0}


def budget(**given) -> Budget:
    return configured_budget({**NONE, **given}, {}, 0.05, TARIFF)[1]


@pytest.mark.parametrize(
    "given",
    [
        {"energy_j": 1800.0},
        {"energy_wh": 0.5},
        {"cost_usd": 0.5e-3 * 0.25},
        {"co2_g": 0.25},
        {"power_w": 90.0},
        {"day_kwh": 2.16},
        {"day_usd": 0.54},
        {"day_co2_kg": 1.08},
    ],
)
def test_half_a_watt_hour_a_query_in_every_unit(given):
    # .05 queries/s are 4,320 a day.
    assert budget(**given).energy_j == pytest.approx(1800.0)


def test_watts_of_a_slow_fleet_are_joules_without_stray_digits():
    assert configured_budget({**NONE, "power_w": 140.0}, {}, 0.07, TARIFF)[1].energy_j == 2000.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"latency_s": 30.0, "co2_g": 0.1}, ""),
        ({"latency_s": 30.0}, "budget.latency_s takes the place of the preset: energy is not limited"),
        ({"day_usd": 1.0}, "budget.day_usd takes the place of the preset: latency is not limited"),
        ({"latency_s": {"default": 9.0, "tutor": 30.0}, "energy_j": 1000.0}, ""),
        (
            {"latency_s": {"tutor": 30.0}, "energy_j": 1000.0},
            "budget.latency_s: coder, puzzles have no latency limit (default: … gives them one)",
        ),
        (
            {"energy_wh": {"tutor": 1.0, "coder": 1.0}, "latency_s": 9.0},
            "budget.energy_wh: puzzles has no energy limit (default: … gives them one)",
        ),
        ({"preset": "unlimited", "latency_s": 30.0}, ""),
    ],
)
def test_what_limits_leave_unlimited_is_said(given, said):
    config = {**NONE, "preset": "medium", **given}
    _, found = configured_budget(config, {"medium": Budget(1.0, 1.0)}, 0.05, TARIFF)
    assert unlimited_told(config, found, ["tutor", "coder", "puzzles"]) == said


def test_a_mapping_is_converted_category_by_category():
    found = budget(energy_wh={"tutor": 1, "default": 0.25}, latency_s=20.0)
    assert found == Budget({"tutor": 3600.0, "default": 900.0}, 20.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"energy_wh": 1.0, "day_usd": 2.0},
            r"budget\.energy_wh is 1\.0 and budget\.day_usd is 2\.0; give one",
        ),
        ({"co2_g": -1.0}, r"budget\.co2_g is -1\.0; a number ≥ 0"),
        ({"energy_wh": {"tutor": "much"}}, r"budget\.energy_wh\[tutor\] is much; a number ≥ 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        budget(**given)


def test_a_tariff_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"tariff\.usd_per_kwh is 0\.0; it must be finite and > 0"):
        configured_budget({**NONE, "day_usd": 1.0}, {}, 0.05, {**TARIFF, "usd_per_kwh": 0.0})
