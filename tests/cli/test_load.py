"""A fleet under load: the curve of simulated latency against the arrival rate, devices, links and jitter."""

from dataclasses import replace

import numpy as np
import pytest

from moe2_pl.planning._load import load_curve
from moe2_pl.pool import Costs, DeviceProfile, Expert, ExpertPool, Link, Network

BOX = DeviceProfile("a", 60, 200.0, 40.0, idle_w=10, active_w=60, rtt_s=0.5)


def pool(network: Network | None = None, **device: float | str) -> ExpertPool:
    devices = tuple(replace(BOX, name=name, box=name, **device) for name in "ab")
    experts = tuple(Expert(f"on_{d.name}", d.name, 8.0, 32, 8, 128, 4.0) for d in devices)
    return ExpertPool("two", experts, devices, network or Network())


def costs(busy_s: float, n: int, link_s: float = 0.0) -> Costs:
    shape = (n, 2)
    return Costs(
        latency_s=np.full(shape, busy_s + 0.5),
        energy_j=np.ones(shape),
        busy_s=np.full(shape, busy_s),
        label=("modelled",) * 2,
        link_s=np.full(shape, link_s),
        speed_error=np.full(2, np.nan),
    )


def test_the_curve_ends_before_the_rate_at_which_a_device_never_rests():
    rng = np.random.default_rng(0)
    choice = rng.integers(0, 2, 400)
    choice[:240] = 0
    rho = np.bincount(choice, np.full(400, 2.0), minlength=2) / 400 * 0.5
    rows = load_curve(pool(), costs(2.0, 400), choice, np.full(400, 2.5), rho, 0.5)
    breaks_at = 0.5 / rho.max()
    rates = [row.queries_per_s for row in rows]
    assert rates == sorted(rates)
    assert rates[-1] < breaks_at
    assert 0.5 in rates
    assert all(row.mean_s >= 2.5 and row.p95_s >= row.mean_s for row in rows)
    # Two M/D/1 queues that share the arrivals in proportion.
    now = next(row for row in rows if row.queries_per_s == 0.5)
    share = np.bincount(choice, minlength=2) / 400
    waiting = sum(s * r * 2.0 / (2 * (1 - r)) for s, r in zip(share, rho, strict=True))
    assert now.mean_s == pytest.approx(2.5 + waiting, rel=0.04)


def test_an_overloaded_rate_is_not_simulated():
    rho = np.array([1.4, 0.0])
    rows = load_curve(pool(), costs(2.0, 10), np.zeros(10, dtype=int), np.full(10, 2.0), rho, 0.7)
    assert max(row.queries_per_s for row in rows) < 0.5


def test_a_shared_link_is_a_queue_of_its_own():
    mast = Network(links={"mast": Link(1.0, 0.0)})
    choice = np.arange(100) % 2
    # The devices take no time; of the link, which both hang on, every query takes a second.
    rho = np.array([0.0, 0.0, 0.6])
    rows = load_curve(pool(mast, link="mast"), costs(0.0, 100, 1.0), choice, np.full(100, 1.5), rho, 0.6)
    now = next(row for row in rows if row.queries_per_s == 0.6)
    assert now.mean_s == pytest.approx(1.5 + 0.6 / (2 * 0.4), rel=0.04)


def test_jitter_moves_the_tail_and_not_the_mean():
    choice = np.zeros(100, dtype=int)
    args = (costs(0.001, 100), choice, np.full(100, 0.6), np.array([0.001, 0.0]), 1.0)
    steady, shaken = (load_curve(pool(jitter_s=jitter), *args)[0] for jitter in (0.0, 0.1))
    assert shaken.mean_s == pytest.approx(steady.mean_s, rel=0.01)
    # The 95 % quantile of an exponential delay is ln 20 times its mean.
    assert shaken.p95_s - steady.p95_s == pytest.approx(0.1 * (np.log(20) - 1), rel=0.03)
