"""What a meter counts reaches records; where nothing counts, nothing is made up."""

import math
import time
from contextlib import suppress

import pytest
from tests.stand_in import StandIn

from moe2_pl.experts import Meter, ask
from moe2_pl.questions import Choices


class Clockwork:
    """Counts 10 joules a second, whatever happens."""

    kind = "clockwork"

    def start(self) -> float:
        return time.perf_counter()

    def stop(self, started: float) -> float:
        return 10 * (time.perf_counter() - started)


REQUESTS = {str(k): Choices(f"number {k}", (" a", " b")) for k in range(4)}


def test_a_window_counts_its_block_even_one_that_fails():
    with suppress(ValueError), Meter(Clockwork()).window() as window:
        time.sleep(0.05)
        raise ValueError
    assert window.joules == pytest.approx(10 * window.seconds, rel=0.05)
    assert window.seconds >= 0.05


def test_requests_share_what_their_batch_took():
    records = ask(StandIn(wait_s=0.2), REQUESTS, Meter(Clockwork()))
    seconds = sum(record["seconds"] for record in records.values())
    assert 0.2 <= seconds < 0.4
    assert sum(record["joules"] for record in records.values()) == pytest.approx(10 * seconds, rel=0.05)
    assert {record["meter"] for record in records.values()} == {"clockwork"}


def test_without_a_meter_there_are_seconds_and_no_joules():
    record = ask(StandIn(), REQUESTS, None)["0"]
    assert record["seconds"] > 0
    assert math.isnan(record.get("joules", math.nan))
    assert "meter" not in record


def test_a_processor_is_no_card():
    assert Meter.here("cpu") is None
