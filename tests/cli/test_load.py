"""A fleet under load, from the real pool: prices keep utilisation near the target, and queues agree with it."""

import numpy as np
import pytest

from moe2_pl.cli._load import load_curve


def test_the_curve_ends_before_the_rate_at_which_a_device_never_rests():
    rng = np.random.default_rng(0)
    busy = np.full(400, 2.0)
    device = rng.integers(0, 2, 400)
    device[:240] = 0
    rho = np.bincount(device, busy, minlength=2) / 400 * 0.5
    rows = load_curve(busy, busy + 0.5, device, rho, 0.5)
    breaks_at = 0.5 / rho.max()
    rates = [row.queries_per_s for row in rows]
    assert rates == sorted(rates)
    assert rates[-1] < breaks_at
    assert 0.5 in rates
    assert all(row.mean_s >= 2.5 and row.p95_s >= row.mean_s for row in rows)
    # Two M/D/1 queues that share the arrivals in proportion.
    now = next(row for row in rows if row.queries_per_s == 0.5)
    share = np.bincount(device, minlength=2) / 400
    waiting = sum(s * r * 2.0 / (2 * (1 - r)) for s, r in zip(share, rho, strict=True))
    assert now.mean_s == pytest.approx(2.5 + waiting, rel=0.04)


def test_an_overloaded_rate_is_not_simulated():
    busy = np.full(10, 2.0)
    rows = load_curve(busy, busy, np.zeros(10, dtype=int), np.array([1.4]), 0.7)
    assert max(row.queries_per_s for row in rows) < 0.5
