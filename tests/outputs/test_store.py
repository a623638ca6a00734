"""What a store gives back, merges, refuses and computes."""

import time
from pathlib import Path

import numpy as np
import pytest
from tests.outputs.store_processes import (
    SPEC,
    Log,
    answers,
    entry,
    shards,
    units,
)

from moe2_pl.errors import DataError, StoreError
from moe2_pl.outputs._store import OutputStore, Progress, fill


def test_figures_of_numpy_tuples_and_broken_text_come_back(tmp_path: Path):
    record = {"log_prob": (np.float64(0.1) + 0.2, -np.inf), "text": "\ud800\u2028\n", "tokens": 10**30}
    entry(tmp_path).write({"k": record})
    assert entry(tmp_path).read() == {
        "k": {"log_prob": [0.1 + 0.2, float("-inf")], "text": "\ud800\u2028\n", "tokens": 10**30}
    }
    # Any JSON reader can read it: there are no bare NaN or Infinity.
    assert "Infinity" not in shards(entry(tmp_path))[0].read_text()


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({"score": np.float32(0.5)}, "float32"),
        ({"scores": [{"a": {1, 2}}]}, "set"),
        ({"by_rank": {1: 0.5}}, "key 1"),
        ({"$float": "nan"}, r"\$float"),
        (["a"], "list"),
    ],
)
def test_what_would_not_come_back_is_refused_before_anything_is_written(tmp_path: Path, record, named: str):
    with pytest.raises(DataError, match=named) as caught:
        entry(tmp_path).write({"good": {}, "bad": record})
    assert "\n" not in str(caught.value)
    assert not entry(tmp_path).folder.exists()


def test_other_settings_have_another_address_and_equal_ones_the_same(tmp_path: Path):
    store = OutputStore(tmp_path)
    same = {"decoding": {"temperature": 0.0}, "adapter": None, "weights": "1f3a"}
    assert store.entry(same).address == store.entry(SPEC).address
    others = [
        SPEC | {"weights": "1f3b"},
        SPEC | {"adapter": "math"},
        SPEC | {"decoding": {"temperature": 0.1}},
        SPEC | {"more": 1},
    ]
    assert len({store.entry(spec).address for spec in [SPEC, *others]}) == 5
    store.entry(SPEC).write({"k": {"score": 1.0}})
    assert [dict(store.entry(spec).read()) for spec in others] == [{}] * 4
    with pytest.raises(DataError, match="spec, 'weights' is of type PosixPath"):
        store.entry({"weights": Path("a")})
    with pytest.raises(DataError, match="mapping"):
        store.entry(["weights"])


def test_of_two_records_under_one_key_the_later_counts_also_after_merging(tmp_path: Path):
    for number in range(5):
        entry(tmp_path).write({"k": {"number": number}, f"only {number}": {"number": number}})
    assert entry(tmp_path).read()["k"] == {"number": 4}
    entry(tmp_path).compact()
    assert len(shards(entry(tmp_path))) == 1
    assert entry(tmp_path).read() == {
        "k": {"number": 4},
        **{f"only {number}": {"number": number} for number in range(5)},
    }


def test_merging_a_shard_that_says_nothing_new_loses_nothing(tmp_path: Path):
    entry(tmp_path).write({"k": {"number": 1}})
    entry(tmp_path).write({"k": {"number": 2}})
    # What is merged is the second shard again, under the same name.
    entry(tmp_path).compact()
    assert entry(tmp_path).read() == {"k": {"number": 2}}


def test_merging_does_not_bring_back_what_a_full_shard_has_replaced(tmp_path: Path):
    entry(tmp_path).write({"k": {"number": 1}})
    entry(tmp_path).write({"k": {"number": 2}} | {f"other {number}": {} for number in range(4096)})
    entry(tmp_path).write({"l": {}})
    entry(tmp_path).compact()
    assert len(shards(entry(tmp_path))) == 2
    assert entry(tmp_path).read()["k"] == {"number": 2}


def test_merging_stops_at_some_thousands_so_that_damage_costs_no_more(tmp_path: Path):
    work = units(60, 200)
    for keys in work.values():
        entry(tmp_path).write(answers({"unit": keys}))
    own = entry(tmp_path)
    own.compact()
    assert own.read() == answers(work)
    assert len(shards(own)) == 3
    again = set(shards(own))
    own.write({"one": {}})
    own.write({"more": {}})
    own.compact()
    assert len(again & set(shards(own))) == 2, "full shards are left alone"
    assert own.read() == answers(work) | {"one": {}, "more": {}}


def test_reading_again_parses_only_what_is_new(tmp_path: Path):
    own, other = entry(tmp_path), entry(tmp_path)
    other.write({"a": {"n": 1}})
    assert own.read() == {"a": {"n": 1}}
    # Were it parsed again, its checksum would not hold.
    shards(own)[0].write_bytes(b"altered")
    other.write({"b": {"n": 2}})
    assert own.read() == {"a": {"n": 1}, "b": {"n": 2}}
    assert own.missing(["a", "c", "b", "c"]) == ["c"]


def test_filling_merges_when_there_are_many_shards(tmp_path: Path):
    fill(entry(tmp_path), units(11, 2), Log(tmp_path / "log").compute(0.0), compact_above=11)
    assert len(shards(entry(tmp_path))) == 11
    fill(entry(tmp_path), units(12, 2), Log(tmp_path / "log").compute(0.0), compact_above=11)
    assert len(shards(entry(tmp_path))) == 1
    assert entry(tmp_path).read() == answers(units(12, 2))


def test_only_missing_keys_are_computed_and_progress_counts_them(tmp_path: Path):
    work = {"a": ["1", "2", "2"], "b": ["3"], "c": ["4", "5"]}
    entry(tmp_path).write(answers({"some": ["2", "3"]}))
    asked, told = [], []

    def compute(unit, keys):
        asked.append((unit, list(keys)))
        return answers({unit: keys})

    last = fill(entry(tmp_path), work, compute, told.append)
    assert asked == [("a", ["1"]), ("c", ["4", "5"])]
    assert told == [Progress("", 5, 2, 0), Progress("a", 5, 3, 1), Progress("c", 5, 5, 3)]
    assert last == told[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_keeps_every_finished_unit_and_frees_the_one_in_flight(tmp_path: Path, error):
    work = units(5, 2)

    def compute(unit, keys):
        if unit == "unit 3":
            raise error
        return answers({unit: keys})

    with pytest.raises(error):
        fill(entry(tmp_path), work, compute)
    assert len(entry(tmp_path).read()) == 6
    assert list((entry(tmp_path).folder / "locks").iterdir()) == []
    assert fill(entry(tmp_path), work, Log(tmp_path / "log").compute(0.0)).computed == 4


@pytest.mark.parametrize(
    ("given", "named"),
    [(["a"], "1 of them were computed, and 0 others"), (["a", "x"], "1 others")],
)
def test_too_few_records_or_others_are_an_error_that_keeps_the_good_ones(tmp_path: Path, given, named: str):
    with pytest.raises(DataError, match=f"unit 'u': 2 records were asked for, .*{named}"):
        fill(entry(tmp_path), {"u": ["a", "b"]}, lambda unit, keys: answers({unit: given}))
    assert entry(tmp_path).read() == answers({"u": ["a"]})


def test_entries_say_what_lies_in_the_store_and_are_removed_only_when_nobody_fills_them(tmp_path: Path):
    store = OutputStore(tmp_path / "store")
    assert store.entries() == []
    began = time.time()
    store.entry({"weights": "new"}).write({"k": {}})
    old = store.entry({"weights": "old"})
    old.write({"k": {}, "l": {}})
    old.write({"l": {}})
    shards(old)[0].write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        found = {status.address: status for status in store.entries()}
    assert len(found) == 2
    status = found[old.address]
    assert (status.spec, status.shards, status.corrupt) == ({"weights": "old"}, 1, 1)
    assert status.size_bytes == shards(old)[0].stat().st_size
    assert began <= status.written_s <= time.time()
    assert found[store.entry({"weights": "new"}).address].records == 1

    with old.claim("unit"), pytest.raises(StoreError, match="is being filled"):
        store.remove(status)
    store.remove(status)
    store.remove(status)
    assert [status.spec for status in store.entries()] == [{"weights": "new"}]
    assert len(list(store.folder.iterdir())) == 1
    assert old.read() == {}
    old.write({"k": {"n": 2}})
    assert old.read() == {"k": {"n": 2}}


def test_a_claim_is_for_one_at_a_time_and_leaves_no_file(tmp_path: Path):
    own = entry(tmp_path)
    with own.claim("a") as first, own.claim("a") as second, own.claim("b") as other:
        assert (first, second, other) == (True, False, True)
    with own.claim("a") as again:
        assert again
    assert list((own.folder / "locks").iterdir()) == []
