"""A store that many processes use at once, some of which are killed."""

import itertools
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.outputs.store_processes import Log, answers, entry, event, outcome, start, units

from moe2_pl.outputs._store import fill


def run(folder: Path, work, compute, started=None) -> None:
    fill(entry(folder), work, compute, tick=None if started is None else lambda progress: started.set())


def left_over(folder: Path) -> list[str]:
    """Files of an entry that neither hold records nor say what the entry is."""
    return [
        str(path.relative_to(folder))
        for path in entry(folder).folder.rglob("*")
        if path.is_file() and path.suffix != ".jsonl" and path.name != "spec.json"
    ]


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_share_the_units_and_none_is_computed_twice(tmp_path: Path, workers: int):
    work, log = units(60, 3), Log(tmp_path / "log")
    processes = [start(run, tmp_path / "store", work, log.compute(0.01)) for _ in range(workers)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * workers
    begun = [(pid, unit) for pid, word, unit in log.read() if word == "begin"]
    assert sorted(unit for _, unit in begun) == sorted(work)
    share = Counter(pid for pid, _ in begun)
    assert len(share) == workers
    assert min(share.values()) >= 60 / workers / 4
    assert entry(tmp_path / "store").read() == answers(work)
    assert left_over(tmp_path / "store") == []


def test_threads_that_have_one_entry_in_common_share_its_units(tmp_path: Path):
    work, log, shared = units(40, 2), Log(tmp_path / "log"), entry(tmp_path / "store")
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(fill, shared, work, log.compute(0.005)) for _ in range(4)]:
            assert done.result().done == 80
    assert sorted(unit for _, word, unit in log.read() if word == "begin") == sorted(work)
    assert shared.read() == answers(work)


def test_the_unit_of_a_killed_process_is_taken_by_one_that_waits(tmp_path: Path):
    work, log, hangs = units(6, 2), Log(tmp_path / "log"), event()

    def hang(unit, keys):
        log.note("begin", unit)
        hangs.set()
        time.sleep(600)

    killed = start(run, tmp_path / "store", work, hang)
    assert hangs.wait(30)
    waits = start(run, tmp_path / "store", work, log.compute(0.0))
    for _ in range(500):
        if len(entry(tmp_path / "store").read()) == 10:
            break
        time.sleep(0.02)
    # All but the unit that the other one holds; nobody takes a unit from a process that lives.
    time.sleep(0.3)
    assert len(entry(tmp_path / "store").read()) == 10
    assert waits.is_alive()
    killed.kill()
    waits.join(30)
    assert waits.exitcode == 0
    assert entry(tmp_path / "store").read() == answers(work)
    assert Counter(unit for _, word, unit in log.read() if word == "begin")["unit 0"] == 2
    assert left_over(tmp_path / "store") == []


def kills_while_filling(tmp_path: Path, kills: int, seed: int) -> None:
    draw, log = random.Random(seed), Log(tmp_path / "log")
    work, compute = units(4 * kills, 3), log.compute(0.004)
    dead = set()
    for kill in range(kills):
        started = event()
        process = start(run, tmp_path / "store", work, compute, started)
        if kill % 10:  # every tenth dies while it still reads what is there
            assert started.wait(30)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        dead.add(process.pid)
    before = len(entry(tmp_path / "store").read())
    assert 0 < before < 12 * kills

    run(tmp_path / "store", work, compute)
    run(tmp_path / "whole", work, Log(tmp_path / "other log").compute(0.0))
    found = entry(tmp_path / "store").read()
    assert found == entry(tmp_path / "whole").read() == answers(work)
    assert found.corrupt == 0

    begun: dict[int, list[str]] = {}
    for pid, word, unit in log.read():
        if word == "begin":
            begun.setdefault(pid, []).append(unit)
    in_flight = Counter(of[-1] for pid, of in begun.items() if pid in dead)
    times = Counter(unit for of in begun.values() for unit in of)
    assert set(times) == set(work)
    # Once, and once more for every kill that it was in flight at; a killed process did nothing after its last unit.
    assert {unit: n for unit, n in times.items() if n > 1 + in_flight[unit]} == {}
    assert sum(times.values()) - len(work) <= len(dead)
    assert sum(times.values()) > len(work), "no kill met a unit in flight; the test shows nothing"
    parts = [path for path in left_over(tmp_path / "store") if not path.endswith(".part")]
    assert parts == []


def test_30_kills_at_random_moments_cost_the_unit_in_flight_and_nothing_else(tmp_path: Path):
    kills_while_filling(tmp_path, 30, seed=0)


@pytest.mark.slow
def test_100_kills_at_random_moments_cost_the_unit_in_flight_and_nothing_else(tmp_path: Path):
    kills_while_filling(tmp_path, 100, seed=1)


def test_a_kill_at_any_file_operation_of_a_compaction_loses_nothing(tmp_path: Path):
    work, store = units(30, 3), tmp_path / "store"
    fill(entry(store), work, Log(tmp_path / "log").compute(0.0), compact_above=1000)

    def merge(folder: Path, last: int | None) -> int:
        """Merge the shards, and die as the file operation with number ``last`` begins; how many there were."""
        own, operations = entry(folder), 0
        own.missing([])

        def count(name: str, _: object) -> None:
            nonlocal operations
            if name in ("open", "os.rename", "os.remove", "os.mkdir"):
                operations += 1
                if operations == last:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)  # it cannot be taken off again, and goes with the process
        own.compact()
        return operations

    shutil.copytree(store, tmp_path / "uncut")
    operations = outcome(lambda: merge(tmp_path / "uncut", None))
    assert operations > 60, "fewer than the shards that are read and removed"
    shards = set()
    for last in range(1, operations + 1):
        folder = tmp_path / str(last)
        shutil.copytree(store, folder)
        process = start(merge, folder, last)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        again = entry(folder)
        assert again.read() == answers(work)
        shards.add(again.sizes()[0])
        again.compact()
        assert entry(folder).read() == answers(work)
        assert again.read() == answers(work)
        assert again.sizes()[0] == 1
    assert len(shards) > 20, "the kills met few of the states that a merge goes through"


def test_readers_miss_nothing_while_others_write_and_merge(tmp_path: Path):
    stop = event()
    # So many files that the system lists the folder in several steps, between which it changes.
    entry(tmp_path).write({"k": {}})
    for number in range(3000):
        (entry(tmp_path).folder / f"note {number}").touch()

    def busy(first: int) -> None:
        own = entry(tmp_path)
        for number in itertools.count(first, 2):
            own.write(answers({"unit": [f"{number}/{j}" for j in range(3)]}))
            if number % 5 == 0:
                own.compact()
            if stop.is_set():
                return

    processes = [start(partial(busy, first)) for first in (0, 1)]
    lasting, seen, rounds = entry(tmp_path), set(), 0
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for reader in (lasting, entry(tmp_path)):
            now = reader.read()
            assert seen <= now.keys()
            assert now.corrupt == 0
            seen = set(now)
        rounds += 1
    stop.set()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert rounds > 5
    assert len(seen) > 30
