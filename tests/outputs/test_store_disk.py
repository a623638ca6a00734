"""A store on a disk that is damaged, full, or not to be written."""

import os
import resource
import tempfile
import time
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.outputs.store_processes import (
    SPEC,
    Log,
    answers,
    become_nobody,
    entry,
    make_room,
    mount_small_disk,
    outcome,
    shards,
    units,
)

from moe2_pl.errors import StoreError
from moe2_pl.outputs._store import OutputStore, fill


def under_its_checksum(path: Path, content: bytes) -> Path:
    """Fill the file with what is no shard; the name under which its checksum would hold."""
    assert path.read_bytes() != content
    path.write_bytes(content)
    return path.with_name(f"{sha256(content).hexdigest()}.jsonl")


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that other users may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
        lambda path: path.write_bytes(path.read_bytes().replace(b'"tokens":', b'"tokens":1', 1)),
        lambda path: path.rename(under_its_checksum(path, b"")),
        lambda path: path.rename(under_its_checksum(path, b"{}")),
        lambda path: path.rename(
            under_its_checksum(path, path.read_bytes().replace(b'"records": 3', b'"records": 4'))
        ),
        lambda path: path.rename(
            under_its_checksum(path, path.read_bytes().replace(b"_version", b" version"))
        ),
    ],
    ids=["truncated", "empty", "zeros", "altered", "nothing", "no header", "a line short", "another format"],
)
def test_a_damaged_shard_is_set_aside_the_rest_kept_and_its_unit_computed_again(tmp_path: Path, damage):
    work, log = units(4, 3), Log(tmp_path / "log")
    store = tmp_path / "store"
    fill(entry(store), work, log.compute(0.0))
    lost = next(path for path in shards(entry(store)) if '"0/0"' in path.read_text())
    damage(lost)
    with pytest.warns(UserWarning, match=r"is damaged .*Shards set aside in this entry: 1"):
        found = entry(store).read()
    assert found == answers({unit: keys for unit, keys in work.items() if unit != "unit 0"})
    assert found.corrupt == 1
    assert len(list((entry(store).folder / "corrupt").iterdir())) == 1

    assert fill(entry(store), work, log.compute(0.0)).computed == 3
    assert [unit for _, word, unit in log.read() if word == "begin"][4:] == ["unit 0"]
    assert entry(store).read() == answers(work)
    assert entry(store).read().corrupt == 1


def test_what_is_not_ours_in_the_folder_is_left_alone(tmp_path: Path):
    entry(tmp_path).write({"k": {"n": 1}})
    folder = entry(tmp_path).folder
    (folder / "notes.txt").write_text("mine")
    (folder / "table.jsonl").write_text("{}")
    (folder / f"{'0' * 64}.jsonl").mkdir()
    (folder / f"{'1' * 64}.jsonl").symlink_to(folder / "nowhere")
    (tmp_path / "assembled").mkdir()
    own = entry(tmp_path)
    assert own.read() == {"k": {"n": 1}}
    assert own.read().corrupt == 0
    own.write({"l": {}})
    own.compact()
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "table.jsonl").exists()
    assert len(OutputStore(tmp_path).entries()) == 1


@pytest.mark.parametrize(
    "spec", [None, "", "{", '{"spec": {"weights": "other"}}', "[]", '{"spec": {"$float": 1, "a": 2}}']
)
def test_a_lost_description_is_written_again_and_costs_no_record(tmp_path: Path, spec: str | None):
    entry(tmp_path).write({"k": {"n": 1}})
    path = entry(tmp_path).folder / "spec.json"
    good = path.read_text()
    path.unlink()
    if spec is not None:
        path.write_text(spec)
    (status,) = OutputStore(tmp_path).entries()
    assert (status.spec, status.records) == (None, 1)
    assert entry(tmp_path).read() == {"k": {"n": 1}}
    assert path.read_text() == good
    (status,) = OutputStore(tmp_path).entries()
    assert status.spec == SPEC


def test_files_of_dead_writers_go_and_those_of_living_ones_stay(tmp_path: Path):
    entry(tmp_path).write({"k": {}})
    old, young = (entry(tmp_path).folder / f".{name}.part" for name in ("old", "young"))
    for path in (old, young):
        path.write_text("half a sha")
    os.utime(old, (time.time() - 7200,) * 2)
    assert entry(tmp_path).read() == {"k": {}}
    assert not old.exists()
    assert young.exists()


def test_a_group_can_read_what_one_of_it_wrote(tmp_path: Path):
    before = os.umask(0o027)
    try:
        entry(tmp_path).write({"k": {}})
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in entry(tmp_path).folder.iterdir()} == {0o640}


def test_a_file_where_the_store_or_an_entry_should_be_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file; a store of outputs is a folder"):
        OutputStore(tmp_path / "file")
    entry(tmp_path).folder.write_text("")
    for action in (entry(tmp_path).read, lambda: entry(tmp_path).write({"k": {}})):
        with pytest.raises(StoreError, match="a file stands where a folder is needed") as caught:
            action()
        assert "\n" not in str(caught.value)


def test_where_nothing_may_be_written_everything_can_be_read(readable: Path):
    work = units(3, 2)
    fill(entry(readable), work, Log(readable / "log").compute(0.0))
    (entry(readable).folder / "spec.json").unlink()
    damaged = shards(entry(readable))[0]
    damaged.write_bytes(b"half")
    for path in (readable, *readable.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    def try_it() -> dict[str, str]:
        become_nobody()
        own = entry(readable)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            records = own.read()
            records = own.read()
        kept = {unit: keys for unit, keys in work.items() if not own.missing(keys)}
        nothing_to_do = fill(own, kept, lambda unit, keys: {}).computed
        try:
            fill(own, work, lambda unit, keys: {})
            refused = ""
        except StoreError as error:
            refused = str(error)
        status = OutputStore(readable).entries()
        return {
            "records": len(records),
            "corrupt": [records.corrupt, status[0].corrupt],
            "told": len(told),
            "to do": nothing_to_do,
            "refused": refused,
        }

    try:
        found = outcome(try_it)
    finally:
        for path in (readable, *readable.rglob("*")):
            path.chmod(0o755)
    refused = found.pop("refused")
    assert found == {"records": 4, "corrupt": [1, 1], "told": 1, "to do": 0}
    assert "permission denied; a folder that this user may write to is needed" in refused
    assert "\n" not in refused


def test_a_full_disk_is_one_line_keeps_what_is_finished_and_filling_goes_on_with_more_room(tmp_path: Path):
    work, log = units(200, 8), Log(tmp_path / "log")
    disk = tmp_path / "disk"
    disk.mkdir()

    def try_it():
        if not mount_small_disk(disk, "256k"):
            return None
        try:
            fill(entry(disk), work, log.compute(0.0))
        except StoreError as error:
            message = str(error)
        kept = entry(disk).read()
        right = all(kept[key] == answer for key, answer in answers(work).items() if key in kept)
        left = [path.name for path in disk.rglob("*") if path.suffix in (".part", ".lock")]
        ended = sum(word == "end" for _, word, _ in log.read())
        make_room(disk, "64m")
        computed = fill(entry(disk), work, log.compute(0.0)).computed
        return (
            message,
            len(kept),
            right,
            kept.corrupt,
            left,
            ended,
            computed,
            entry(disk).read() == answers(work),
        )

    found = outcome(try_it)
    if found is None:
        pytest.skip("mounting a small disk needs root")
    message, kept, right, corrupt, left, ended, computed, whole = found
    assert "no space is left; make room and run again; what was finished is kept" in message
    assert "\n" not in message
    assert 0 < kept < 1600
    assert (right, corrupt, left) == (True, 0, [])
    assert ended == kept / 8 + 1, "the unit that found the disk full is the only one that is lost"
    assert computed == 1600 - kept
    assert whole


def test_a_file_that_may_not_grow_leaves_nothing_behind(tmp_path: Path):
    def try_it():
        own = entry(tmp_path)
        own.write({"small": {}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            own.write({"large": {"text": "x" * 5000}})
        except StoreError as error:
            return str(error)

    assert "file too large; what was finished is kept" in outcome(try_it)
    assert entry(tmp_path).read() == {"small": {}}
    assert sorted(path.suffix for path in entry(tmp_path).folder.iterdir()) == [".json", ".jsonl"]


def test_merging_on_a_full_disk_warns_and_filling_succeeds(tmp_path: Path):
    def try_it():
        own = entry(tmp_path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            fill(own, units(40, 3), Log(tmp_path / "log").compute(0.0), compact_above=10)
        return [str(warning.message) for warning in told]

    (told,) = outcome(try_it)
    assert told.startswith("shards were not merged: cannot write")
    assert entry(tmp_path).read() == answers(units(40, 3))
    assert len(shards(entry(tmp_path))) == 40
