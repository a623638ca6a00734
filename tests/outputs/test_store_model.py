"""A store is a dictionary that is on disk, whatever happens to its files in between."""

import json
import random
import shutil
import tempfile
import warnings
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.outputs.store_processes import entry

from moe2_pl.outputs import _store_entry
from moe2_pl.outputs._shard import Shard, record_line

RAM = "/dev/shm"  # thousands of syncs
NAMES = st.text(max_size=8).filter(lambda name: name != "$float")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.text(min_size=1)
# Few keys in the machine below, so that they meet again.
RECORDS = st.dictionaries(st.sampled_from("abcdefgh"), st.fixed_dictionaries({"x": st.floats()}), max_size=4)


@given(records=st.dictionaries(KEYS, st.dictionaries(NAMES, PLAIN), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_is_read_is_what_was_written_to_the_last_bit(records):
    lines = {key: record_line(key, record) for key, record in records.items()}
    again = Shard.decode(*Shard(5, lines).encode())
    # repr tells −0.0 from 0.0 and takes NaN for NaN.
    assert repr(again.records()) == repr(records)
    assert again.lines == lines


class StoreIsADictionary(RuleBasedStateMachine):
    """Records are written, merged, lost to damage; an entry that lives on and a new one must both know the rest."""

    @initialize(full=st.sampled_from([2, 3, 5, 4096]))
    def begin(self, full) -> None:
        # The number of records that a merged shard has: with thousands nothing here would fill one.
        self.full, self.before, _store_entry.SHARD_RECORDS = full, _store_entry.SHARD_RECORDS, full
        self.folder = Path(tempfile.mkdtemp(dir=RAM if Path(RAM).is_dir() else None))
        self.lasting = entry(self.folder)
        self.model: dict[str, dict] = {}
        self.damaged: set[Path] = set()
        self.step = 0

    @rule(records=RECORDS, lasting=st.booleans())
    def write(self, records, lasting) -> None:
        self.step += 1  # no two writes are alike
        records = {key: record | {"step": self.step} for key, record in records.items()}
        (self.lasting if lasting else entry(self.folder)).write(records)
        self.model |= records

    @rule(lasting=st.booleans())
    def compact(self, lasting) -> None:
        merged = self.lasting if lasting else entry(self.folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            merged.compact()
            # One line of each is its header.
            sizes = [len(path.read_text().splitlines()) - 1 for path in self.whole()]
            assert sum(size < self.full for size in sizes) <= 1

    @precondition(lambda self: self.whole())
    @rule(seed=st.integers(0, 2**32), how=st.sampled_from(["cut", "flip", "empty", "remove"]))
    def damage(self, seed, how) -> None:
        draw = random.Random(seed)
        path = draw.choice(self.whole())
        self.damaged.add(path)
        content = bytearray(path.read_bytes())
        if how == "remove":
            path.unlink()
        elif how == "flip":
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
        else:
            path.write_bytes(content[: draw.randrange(len(content)) if how == "cut" else 0])
        self.model = self.on_disk()

    @rule(content=st.sampled_from([None, b"", b"{}", b"\xff"]))
    def lose_the_description(self, content) -> None:
        path = self.lasting.folder / "spec.json"
        path.unlink(missing_ok=True)
        if content is not None and path.parent.is_dir():
            path.write_bytes(content)

    @rule()
    def read(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The new one first: it meets the damage, the lasting one sees what is left.
            for reader in (entry(self.folder), self.lasting):
                assert repr(sorted(reader.read().items())) == repr(sorted(self.model.items()))
                assert set(reader.missing("abcdefgh")) == set("abcdefgh") - self.model.keys()

    def shards(self) -> list[Path]:
        return sorted(self.lasting.folder.glob("*.jsonl"))

    def whole(self) -> list[Path]:
        return [path for path in self.shards() if path not in self.damaged]

    def on_disk(self) -> dict[str, dict]:
        """The records of the shards that are whole, read without the store's help."""
        found = []
        for path in self.whole():
            head, *lines = (json.loads(line, object_hook=number) for line in path.read_text().splitlines())
            found.append((head["written_ns"], path.name, {line["key"]: line["record"] for line in lines}))
        return {key: record for _, _, records in sorted(found) for key, record in records.items()}

    def teardown(self) -> None:
        self.read()
        _store_entry.SHARD_RECORDS = self.before
        shutil.rmtree(self.folder)


def number(value: dict) -> object:
    return float(value["$float"]) if "$float" in value else value


TestStoreIsADictionary = StoreIsADictionary.TestCase
TestStoreIsADictionary.settings = settings(max_examples=120, stateful_step_count=20, deadline=None)
