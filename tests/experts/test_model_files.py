"""Model files are found, or said to be missing, and named by their content without loading anything."""

import logging
import os
import shutil
from pathlib import Path

import pytest
from tests import tiny_llm

from moe2_pl.errors import ConfigError
from moe2_pl.experts import TransformersBackend, find_model
from moe2_pl.experts._files import _unpacked_gguf
from moe2_pl.experts._files._models import cache_folder, digest_of
from moe2_pl.questions import Choices


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "moe2-pl"


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_the_content_is_the_identity_not_the_place(tmp_path: Path):
    files = {"model__safetensors": "w", "config__json": "{}", "tokenizer__json": "t"}
    first, copy = folder(tmp_path / "a", **files), folder(tmp_path / "b", **files)
    (copy / "README.md").write_text("read by nobody")
    assert find_model(str(first)).identity == find_model(str(copy)).identity
    seen = {find_model(str(first)).identity["sha256"]}
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (copy / name).write_text((copy / name).read_text() + " ")
        seen.add(find_model(str(copy)).identity["sha256"])
    assert len(seen) == 4


def test_a_gguf_file_is_its_own_identity(tmp_path: Path):
    here = folder(tmp_path / "a", one__gguf="x", two__gguf="y", config__json="{}")
    there = folder(tmp_path / "b", uno__gguf="x")
    assert find_model(str(here), "one.gguf").identity == find_model(str(there)).identity
    assert find_model(str(here), "one.gguf").identity != find_model(str(here), "two.gguf").identity


def test_a_second_look_reads_nothing_until_the_file_changes(tmp_path: Path):
    file = tmp_path / "weights.gguf"
    file.write_text("before")
    first, stamp = digest_of(file), file.stat()
    file.write_text("beyond")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert digest_of(file) == first
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert digest_of(file) != first


def test_a_cache_that_cannot_be_written_costs_no_answer(tmp_path: Path, cache: Path):
    cache.parent.write_text("a file, no folder")
    file = tmp_path / "weights.gguf"
    file.write_text("x")
    assert digest_of(file) == digest_of(file)


PACKAGE = """
from pathlib import Path
MODEL_NAME = "whole.gguf"
def assemble(path):
    here = Path(__file__).parent
    parts = [here / "part0", here / "part1"]
    with open(path, "w") as file:
        for part in parts:
            file.write(part.read_text())
"""


def test_a_package_in_parts_is_assembled_once(tmp_path: Path, cache: Path, monkeypatch):
    package = folder(tmp_path / "site" / "parts_of_a_model", part0="ab")
    (package / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(ConfigError, match=r"'package:parts-of-a-model' cannot be assembled in .*part1"):
        find_model("package:parts-of-a-model")
    whole = cache / "packages" / "parts_of_a_model" / "whole.gguf"
    assert not whole.exists()
    (package / "part1").write_text("cd")
    files = find_model("package:parts-of-a-model")
    assert (files.folder, files.gguf, whole.read_text()) == (whole.parent, "whole.gguf", "abcd")
    assert [path.name for path in whole.parent.iterdir()] == ["whole.gguf"]
    (package / "part1").unlink()  # not needed again
    assert find_model("package:parts-of-a-model", "whole.gguf").identity == files.identity
    with pytest.raises(ConfigError, match=r"holds no whale.gguf; did you mean 'whole.gguf'\?"):
        find_model("package:parts-of-a-model", "whale.gguf")


@pytest.mark.parametrize(
    ("model", "file", "message"),
    [
        ("{here}/lama", None, r"there is no such folder \(did you mean '.*/llama'\?\)"),
        ("{here}/lama/of/mine", None, "there is no such folder$"),
        ("{here}/lama/inner", None, r"there is no such folder \(did you mean '.*/llama/inner'\?\)"),
        (
            "package:transformers/modls",
            None,
            r"no such folder \(did you mean 'package:transformers/models'\?\)",
        ),
        ("{here}/llama/config.json", None, "is a file; give its folder as model and 'config.json' as file"),
        ("{here}/llama", "lama.gguf", "holds no lama.gguf; its GGUF files: none"),
        ("{here}/several", None, "holds several GGUF files; name one as file: one.gguf, two.gguf"),
        ("{here}/empty", None, "holds no weights: neither safetensors nor GGUF"),
        ("{here}/pickled", None, r"only as pickles \(pytorch_model.bin\), which can run code"),
        ("package:tranformers", None, "no Python package 'tranformers' is installed; did you mean 'package:"),
        ("package:json", None, "holds no weights and has no assemble"),
    ],
)
def test_what_is_not_there_is_one_line(tmp_path: Path, model: str, file: str | None, message: str):
    folder(tmp_path / "llama", model__safetensors="w", config__json="{}")
    folder(tmp_path / "several", one__gguf="x", two__gguf="y")
    folder(tmp_path / "pickled", pytorch_model__bin="x")
    folder(tmp_path / "empty")
    (tmp_path / "llama" / "inner").mkdir()
    with pytest.raises(ConfigError, match=message) as error:
        find_model(model.format(here=tmp_path), file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["./models/llama", "~/models/llama", "models/llama", "a/b/c"])
def test_what_looks_like_a_folder_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch, name: str):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no such folder"):
        find_model(name)
    assert find_model("model/llama").folder is None


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """The Hub's cache with one model, and no network."""
    import huggingface_hub.constants as constants
    import transformers.utils.hub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(transformers.utils.hub, "is_offline_mode", lambda: True)
    kept = tmp_path / "hub" / "models--someone--tiny"
    tiny_llm.save(kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)
    return kept


def test_a_model_of_the_hub_is_named_by_its_commit(hub: Path):
    backend = TransformersBackend("someone/tiny", device="cpu")
    assert backend.identity["model"] == {"hub": "someone/tiny", "commit": COMMIT, "file": None}
    local = TransformersBackend(str(hub / "snapshots" / COMMIT), device="cpu")
    request = [Choices("One and", (" two", " a"))]
    assert backend.score(request) == local.score(request)
    backend.close()
    local.close()


def test_a_model_that_neither_a_folder_nor_the_hub_has_is_one_line(hub: Path):
    shutil.rmtree(hub / "snapshots")
    with pytest.raises(
        ConfigError, match=r"model 'someone/tiny' is no folder here.* cannot be had from the Hub"
    ) as error:
        _ = TransformersBackend("someone/tiny").identity
    assert "\n" not in str(error.value)


def test_the_hub_being_asked_again_is_not_told_line_by_line(monkeypatch, caplog):
    import huggingface_hub

    def unreachable(*_, **__):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s [Retry 5/5].")
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(ConfigError, match="cannot be had from the Hub: no network"):
        _ = find_model("someone/tiny").identity
    assert not caplog.records
    logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s")
    assert len(caplog.records) == 1


def test_unpacking_is_told_before_it_begins_and_happens_once(
    tmp_path: Path, cache: Path, monkeypatch, caplog
):
    told_before = []

    def unpack(_file, _dtype, folder: Path) -> None:
        told_before.extend(record.getMessage() for record in caplog.records)
        (folder / "model.safetensors").write_text("w")

    monkeypatch.setattr(_unpacked_gguf, "_unpack", unpack)
    caplog.set_level(logging.INFO, logger="moe2_pl")
    file = tmp_path / "small.gguf"
    file.write_bytes(bytes(2_000_000))
    kept = {_unpacked_gguf.unpacked(file, "float32") for _ in range(2)}
    assert [(path / "model.safetensors").read_text() for path in kept] == ["w"]
    assert told_before == [
        f"unpacking 'small.gguf' (2 MB) to float32 in {cache / 'unpacked'}, which may take minutes; "
        "it is kept there and done once"
    ]
    assert len(caplog.records) == 1


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "moe2-pl"
