"""Every block of README and docs does what its page says: Python runs, commands run, files are what they configure.

``<!-- block: slow -->`` before a block: it takes minutes, or the package index's models, and runs with make test-slow.
``<!-- block: compose -->``: it needs a login, a cluster, hardware or hours, and never runs. Of both kinds every test
composes the configuration, looks for the options of modules, the targets of make and the extras of the package.
"""

import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown_it import MarkdownIt
from omegaconf import OmegaConf
from sybil import Document, Example, Region
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer
from tests.docs.conftest import ROOT, run_script

from moe2_pl.cli._schema import PoolConf, register_schema

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "bash", "yaml", "text", "{toctree}", "{include}"}
SLOW, COMPOSE = "slow", "compose"
FILE = re.compile(r"# (conf/[\w/]+\.yaml)\n")
# What a choice needs that make test does not install.
PLUGINS = {"hydra/launcher=ray": "hydra_plugins.hydra_ray_launcher"}


def marks(document: Document) -> list[Region]:
    regions = list(DirectiveInHTMLCommentLexer(directive="block", arguments=f"{SLOW}|{COMPOSE}")(document))
    for region in regions:
        region.parsed, region.evaluator = region.lexemes["arguments"], None
    return regions


def blocks(page: Path) -> list[tuple[Example, str | None]]:
    """Each block of a page with its mark."""
    parsers = (
        marks,
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=print),
        CodeBlockParser(language="yaml", evaluator=print),
    )
    found, mark = [], None
    for example in Document.parse(str(page), *parsers).examples():
        if example.region.evaluator is None:
            mark = example.parsed
        else:
            found.append((example, mark))
            mark = None
    return found


def language(example: Example) -> str:
    return example.region.lexemes.get("arguments", "python")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT).with_suffix(""))


def parameters() -> list:
    """A test for each block, in the order of the page; those of slow blocks stand twice: run, and looked at."""
    found = []
    for page in PAGES:
        for example, mark in blocks(page):
            label = f"{name(page)}:{example.line}"
            group = pytest.mark.xdist_group("docs")
            if mark is None:
                found.append(pytest.param(name(page), example, True, id=label, marks=group))
                continue
            found.append(pytest.param(name(page), example, False, id=f"{label}-composed", marks=group))
            if mark == SLOW:
                found.append(
                    pytest.param(name(page), example, True, id=label, marks=(group, pytest.mark.slow))
                )
    return found


@pytest.mark.parametrize(("page", "example", "runs"), parameters())
def test_a_block_does_what_its_page_says(page, example, runs, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    kind = language(example)
    # Whichever worker runs a block has the files that its page tells to write.
    for other, _ in blocks(ROOT / f"{page}.md"):
        path = FILE.match(other.parsed) if language(other) == "yaml" else None
        if path is not None:
            (checkout / path.group(1)).write_text(other.parsed)
    if kind == "yaml":
        write(checkout, example.parsed)
    elif kind == "bash":
        if runs and any(choice in example.parsed for choice in absent()):
            pytest.skip(f"{', '.join(absent())} is not installed")
        for command in commands(example.parsed):
            (execute if runs else look_at)(checkout, command)
    elif runs:
        example.evaluate()
    else:
        compile(example.parsed, page, "exec")


def test_no_block_escapes():
    """All code stands in fences of languages that are tested, or in plain text; no comment is misspelt."""
    for page in PAGES:
        tokens = MarkdownIt().parse(page.read_text())
        assert not [t.map for t in tokens if t.type == "code_block"], f"{page}: code by indentation"
        fences = [t.info.strip().split(" ")[0] for t in tokens if t.type == "fence"]
        assert set(fences) <= LANGUAGES, page
        lines = [example.line for example, _ in blocks(page)]
        for token in tokens:
            if token.type == "fence" and token.info in ("python", "bash", "yaml"):
                first, last = token.map
                assert any(first < line <= last for line in lines), f"{page}:{first + 1} is not tested"
        assert len(re.findall(r"<!--\s*block", page.read_text())) == sum(
            m is not None for _, m in blocks(page)
        ), page


def write(checkout: Path, text: str) -> None:
    """A file that a page tells to write: its first line names it."""
    path = FILE.match(text)
    if path is None:
        # A part of a pool's file.
        OmegaConf.merge(OmegaConf.structured(PoolConf), OmegaConf.create(text))
        return
    (checkout / path.group(1)).write_text(text)
    group, option = Path(path.group(1)).parent.name, Path(path.group(1)).stem
    key = "device@expert_pool.devices.orin_a" if group == "device" else group
    composed(checkout, "train", [f"{key}={option}"])


def commands(text: str) -> list[str]:
    """The commands of a block of shell, a here-document with the one that it belongs to."""
    found: list[str] = []
    end = None
    for line in text.replace("\\\n", " ").splitlines():
        if end is not None:
            found[-1] += f"\n{line}"
            end = None if line == end else end
        elif line.strip() and not line.startswith("#"):
            found.append(line)
            here = re.search(r"<<'(\w+)'", line)
            end = here.group(1) if here else None
    return found


def execute(checkout: Path, command: str) -> None:
    argv = shlex.split(command, comments=True)
    if argv[0] == "python" and argv[1].endswith(".py") and not {"|", ">"} & {*argv}:
        done = run_script(checkout, argv[1:])
        assert done.status == 0, f"{command}\n{done.output}"
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=checkout,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"


def look_at(checkout: Path, command: str) -> None:
    """Whatever can be wrong in a command without running it."""
    argv = shlex.split(command, comments=True)
    if argv[0] == "ssh":
        look_at(checkout, argv[2])
    elif argv[:2] == ["python", "-m"]:
        _look_at_module(argv[2], argv[3:])
    elif argv[0] == "python":
        assert argv[1] in ("train.py", "evaluate.py"), command
        composed(checkout, argv[1].removesuffix(".py"), argv[2:])
    elif argv[0] == "make":
        makefile = (checkout / "Makefile").read_text()
        assert re.search(rf"^{re.escape(argv[1])}:", makefile, re.MULTILINE), command
        for variable in (word.split("=")[0] for word in argv[2:]):
            assert re.search(rf"^{variable} \?=", makefile, re.MULTILINE), command
    elif argv[:2] == ["pip", "install"]:
        extras = re.findall(r"moe2-pl\[([\w,-]+)\]", command)
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert extras or not [word for word in argv[2:] if "moe2-pl" in word], command
        assert {name for extra in extras for name in extra.split(",")} <= {*known}, command
    else:
        assert argv[:2] in (["wandb", "login"], ["wandb", "sync"]), f"nothing is known of {command}"


def _look_at_module(module: str, argv: list[str]) -> None:
    """Options that the module's help does not name are wrong."""
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, "--help"])
        with pytest.raises(SystemExit):
            runpy.run_module(module, run_name="__main__")
    for option in (word for word in argv if word.startswith("--")):
        assert option in printed.getvalue(), f"python -m {module} has no {option}"


def absent() -> set[str]:
    """Choices whose plugin is not installed here."""
    return {choice for choice, plugin in PLUGINS.items() if find_spec(plugin) is None}


def composed(checkout: Path, script: str, overrides: list[str]) -> None:
    """Compose what a command line asks for; of a sweep, what its first job asks for."""
    given = [word for word in overrides if word not in {"-m", "-v", "--multirun", "--help"}]
    for choice in absent() & {*given}:
        settings = choice.split("=")[0].replace("/", ".")
        given = [word for word in given if word != choice and not word.lstrip("+").startswith(f"{settings}.")]
    first = []
    for override in OverridesParser.create().parse_overrides(given):
        line = str(override.input_line)
        if override.is_sweep_override():
            line = f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
        first.append(line)
    register_schema()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(checkout / "conf"), version_base="1.3"):
        compose(script, first, return_hydra_config=True)
