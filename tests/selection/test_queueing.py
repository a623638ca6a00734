"""Queues as theory has them, and prices that keep a target and cost as little as can be."""

import numpy as np
import pytest
from scipy.optimize import milp

from moe2_pl.errors import ProblemError
from moe2_pl.selection import load_prices, simulated_waiting_s


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.85])
def test_waiting_is_that_of_m_d_1(rho):
    rng = np.random.default_rng(0)
    n, service = 2_000_000, 2.0
    arrival = np.cumsum(rng.exponential(service / rho, n))
    waiting = simulated_waiting_s(arrival, np.zeros(n, dtype=int), np.full(n, service), 1)
    assert waiting.mean() == pytest.approx(rho * service / (2 * (1 - rho)), rel=0.03)


def test_devices_queue_apart_and_as_one_after_another_would():
    rng = np.random.default_rng(1)
    n = 300
    arrival, device = np.sort(rng.uniform(0, 100, n)), rng.integers(0, 3, n)
    busy = rng.exponential(1.0, n)
    free = np.zeros(3)
    expected = []
    for a, d, s in zip(arrival, device, busy, strict=True):
        start = max(a, free[d])
        expected.append(start - a)
        free[d] = start + s
    assert simulated_waiting_s(arrival, device, busy, 3) == pytest.approx(expected)
    with pytest.raises(ProblemError, match=r"arrival_s\[1\] = 1\.0 is before"):
        simulated_waiting_s([2.0, 1.0], [0, 0], [1, 1], 1)


def problem(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    skill = np.array([0.8, 0.7, 0.5, 0.4])
    return {
        "q": np.clip(skill + rng.normal(0, 0.15, (200, 4)), 0, 1),
        "allowed": rng.random((200, 4)) < [0.9, 0.9, 0.9, 2.0],
        "busy_s": rng.uniform(0.5, 1.5, (200, 4)) * [8, 5, 2, 1],
        "device": np.array([0, 0, 1, 2]),
        "devices": 3,
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_target_is_kept_and_costs_hardly_more_than_it_must(seed, rate):
    given = problem(seed)
    prices = load_prices(**given, queries_per_s=rate, target=0.8)
    assert (prices.utilisation <= 0.8).all()
    penalty = prices.penalty(given["busy_s"], given["device"])
    choice = np.where(given["allowed"], given["q"] - penalty, -np.inf).argmax(1)
    rows = np.arange(200)
    rho = np.bincount(given["device"][choice], rate / 200 * given["busy_s"][rows, choice], minlength=3)
    assert rho == pytest.approx(prices.utilisation)
    assert given["q"][rows, choice].mean() == pytest.approx(prices.value)
    # The best assignment there is, by whole queries.
    n, N = given["q"].shape
    once = np.kron(np.eye(n), np.ones(N))
    load = np.zeros((3, n * N))
    for j, d in enumerate(given["device"]):
        load[d, j::N] = rate / n * given["busy_s"][:, j]
    best = milp(
        -given["q"].ravel() / n,
        constraints=[(once, 1, 1), (load, -np.inf, 0.8)],
        bounds=(0, given["allowed"].ravel().astype(float)),
    )
    assert -best.fun - 0.003 <= prices.value <= -best.fun + 1e-9 <= prices.value_free + 1e-9


def test_where_there_is_time_to_spare_nothing_costs():
    prices = load_prices(**problem(0), queries_per_s=0.01, target=0.8)
    assert not prices.per_busy_s.any()
    assert prices.value == prices.value_free


def test_more_than_the_fleet_can_do_has_no_prices():
    assert load_prices(**problem(0), queries_per_s=5.0, target=0.8) is None


def test_what_makes_no_sense_is_refused():
    given = problem(0)
    with pytest.raises(ProblemError, match="target utilisation = 0"):
        load_prices(**given, queries_per_s=1.0, target=0.0)
    with pytest.raises(ProblemError, match=r"busy_s \[200, 3\]"):
        load_prices(**{**given, "busy_s": given["busy_s"][:, :3]}, queries_per_s=1.0, target=0.8)
