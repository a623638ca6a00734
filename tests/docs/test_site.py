"""The documentation builds as a site without a warning, stands alone, and everything that names a page names one."""

import re
import shutil
import subprocess
import sys

import pytest
from tests.docs.conftest import ROOT

from moe2_pl.cli.reference import configuration_page
from moe2_pl.errors import ConfigError


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-E",
        "-W",
        "--keep-going",
        "-d",
        str(folder / "doctrees"),
    ]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.xdist_group("site")
def test_the_site_builds_without_a_warning_and_holds_every_page(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page


@pytest.mark.xdist_group("site")
def test_no_page_loads_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        html = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]+)\"", html)
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|preload|icon)\"[^>]*href=\"([^\"]+)\"", html)
        assert not [address for address in loaded if re.match(r"(?:https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", style.read_text()), style


@pytest.mark.xdist_group("site")
def test_formulas_are_mathml_and_every_command_of_theirs_was_understood(site):
    html = (site / "concepts" / "problem.html").read_text()
    formulas = re.findall(r"<math.*?</math>", html, re.DOTALL)
    assert len(formulas) > 10
    # What the converter does not know it leaves as a backslash and a name.
    for page in (site / "concepts").glob("*.html"):
        assert not [
            f for f in re.findall(r"<math.*?</math>", page.read_text(), re.DOTALL) if "\\" in f or "\\" in f
        ], page


def test_the_page_of_all_settings_is_current():
    """Write it anew: python -m moe2_pl.cli.reference docs/reference/configuration.md"""
    assert (ROOT / "docs" / "reference" / "configuration.md").read_text() == configuration_page()


def test_the_page_of_all_settings_has_every_key_and_option():
    page = configuration_page()
    for text in (
        "| `trainer.max_epochs` | int or null | `60` |",
        "| `budget=tight` |",
        "| `gate=blend` (default) |",
        "| `checkpoint` | str | *needed* |",
        "| `expert_pool.devices.<name>.memory_gb` | float | *needed* | memory that weights and caches may fill |",
        "| `gate.network.width` | int | `64` (two_tower) |",
        "| `agx_orin_64gb` | 58 | 204.8 |",
    ):
        assert text in page, text


def test_a_key_of_which_nothing_is_said_is_an_error(tmp_path):
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    gate = conf / "gate" / "mlp.yaml"
    gate.write_text(gate.read_text().replace("  members: 3 ", "  momentum: 1\n  members: 3 "))
    with pytest.raises(ConfigError, match=r"nothing says what 'gate\.network\.momentum' means"):
        configuration_page(conf)


def test_whoever_names_a_file_of_the_documentation_names_one():
    named = re.compile(r"\b(?:docs|examples)/[\w./-]+\.(?:md|csv|json|png|svg|ipynb)\b")
    files = [p for part in ("src", "conf", "benchmarks", "tests", "docs") for p in (ROOT / part).rglob("*")]
    files += [
        ROOT / "README.md",
        ROOT / "train.py",
        ROOT / "evaluate.py",
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
    ]
    found = 0
    for file in files:
        if file.suffix in (".py", ".yaml", ".md", ".toml", ".html") or file.name == "Makefile":
            for path in named.findall(file.read_text()):
                found += 1
                assert (ROOT / path).is_file(), f"{file.relative_to(ROOT)} names {path}"
    assert found > 20


def test_links_of_the_front_page_lead_somewhere():
    readme = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#([\w-]+))?\)", readme)
    assert len(links) > 15
    for path, anchor in links:
        assert (ROOT / path).exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings], anchor
