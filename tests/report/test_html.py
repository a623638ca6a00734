"""The page: self-contained, complete, honest about what is infeasible or missing, and safe with any name."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from time import perf_counter

import pytest

from moe2_pl.report import FrontierRow, ReportData, write_report
from moe2_pl.report._html import panels


def page(data: ReportData, folder: Path) -> tuple[str, dict[str, dict]]:
    """The page without the library's script, and its figures."""
    text = write_report(data, folder / "report.html").read_text(encoding="utf-8")
    specs = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.S)
    assert specs is not None
    library = max(re.findall(r"<script .*?</script>", text, re.S), key=len)
    assert len(library) > 1_000_000
    return unescape(text.replace(library, "").replace(specs[0], "")), json.loads(specs[1])


def test_one_small_file_made_in_time(data: ReportData, tmp_path: Path) -> None:
    start = perf_counter()
    path = write_report(data, tmp_path / "run" / "report.html")
    assert perf_counter() - start < 3
    assert path.stat().st_size < 6_000_000
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")


def test_nothing_is_fetched(data: ReportData, tmp_path: Path) -> None:
    text, _ = page(data, tmp_path)
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)""", text)
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text  # and the browser refuses what the library might ask for


def test_the_answer_comes_first_with_experts_on_their_devices(data: ReportData, tmp_path: Path) -> None:
    text, _ = page(data, tmp_path)
    answer = text[text.index('id="answer"') : text.index('id="summary"')]
    for figure in (f"{data.chosen.score:.3f}", "709 J", "3.81 s", "proven optimal"):
        assert figure in answer
    for device in data.chosen.devices:
        box = answer.split(f"<b>{device}</b>")[1].split("</ul>")[0]
        on_it = re.findall(r"<li>(.*?)</li>", box)
        assert on_it == [name for name in data.chosen.experts if data.experts[name]["device"] == device]
    assert data.chosen.overloaded
    assert "Overloaded at 0.07 queries/s: " + ", ".join(data.chosen.overloaded) in answer
    assert f"+{data.chosen.score - data.chosen.lookup_score:.3f}</b> the lookup" in answer


def test_every_figure_stands_with_its_caption(data: ReportData, tmp_path: Path) -> None:
    text, specs = page(data, tmp_path)
    made = panels(data)
    assert set(specs) == set(made) == {
        "frontier", "map", "baselines", "categories", "routing", "utilisation", "load", "calibration", "certificate",
    }  # fmt: skip
    for panel in made.values():
        assert len(panel.caption) > 40
        assert panel.caption in text
        assert f'id="plot-{panel.key}"' in text


def test_the_frontier_shows_every_router_for_every_latency(data: ReportData, tmp_path: Path) -> None:
    spec = page(data, tmp_path)[1]["frontier"]
    (slider,) = spec["layout"]["sliders"]
    assert len(slider["steps"]) == 12
    latencies = sorted({row.latency_budget_s for row in data.grid})
    for latency, step in zip(latencies, slider["steps"], strict=True):
        shown = [t for t, on in zip(spec["data"], step["args"][0]["visible"], strict=True) if on]
        assert {t["name"] for t in shown} >= {"MoE²", "lookup", "best single expert", "family oracle"}
        ours = next(t for t in shown if t["name"] == "MoE²")
        rows = [row for row in data.grid if row.latency_budget_s == latency]
        assert ours["y"] == [None if math.isnan(row.score) else row.score for row in rows]
        assert all(
            name in text for row, text in zip(rows, ours["hovertext"], strict=True) for name in row.experts
        )


def test_a_router_has_one_colour_everywhere(data: ReportData, tmp_path: Path) -> None:
    _, specs = page(data, tmp_path)
    traces = [t for spec in specs.values() for t in spec["data"] if t.get("name") in {"MoE²", "lookup"}]
    colours = {(t["name"], (t.get("line") or t["marker"])["color"]) for t in traces}
    assert len(colours) == 2


def test_infeasible_cells_are_marked_as_such(data: ReportData, tmp_path: Path) -> None:
    spec = page(data, tmp_path)[1]["map"]
    marks = next(t for t in spec["data"] if t.get("name") == "infeasible")
    infeasible = sum(not row.feasible for row in data.grid)
    assert len(marks["x"]) == infeasible > 0
    heat = spec["data"][0]["z"]
    assert sum(value is None for line in heat for value in line) == infeasible
    assert all(heat[int(y)][int(x)] is None for x, y in zip(marks["x"], marks["y"], strict=True))


def test_an_infeasible_budget_recommends_nothing_and_names_the_nearest(
    data: ReportData, infeasible: FrontierRow, tmp_path: Path
) -> None:
    text, specs = page(replace(data, chosen=infeasible), tmp_path)
    answer = text[text.index('id="answer"') : text.index('id="summary"')]
    assert "Infeasible: no subset meets this budget" in answer
    assert "energy ≤ 1 J, latency ≤ 0.1 s" in answer
    assert "<li>" not in answer
    assert "nearest looser budget of this run that can be met: energy ≤" in answer
    assert set(specs) == {"frontier", "map", "baselines", "utilisation", "calibration", "certificate"}


def test_without_a_grid_the_named_budgets_stand_in(data: ReportData, tmp_path: Path) -> None:
    text, specs = page(replace(data, grid=()), tmp_path)
    assert "map" not in specs
    assert "no map of budgets" in text
    ours = next(t for t in specs["frontier"]["data"] if t["name"] == "MoE²")
    assert ours["x"] == [row.score for row in (data.chosen, *data.presets)]


def test_no_family_oracle_no_claim_about_it(data: ReportData, tmp_path: Path) -> None:
    def without(row: FrontierRow) -> FrontierRow:
        return replace(row, family_oracle_score=math.nan)

    grid, presets = tuple(map(without, data.grid)), tuple(map(without, data.presets))
    text, _ = page(replace(data, grid=grid, presets=presets, chosen=without(data.chosen)), tmp_path)
    assert "the family oracle, a ceiling" not in text
    assert "against the family oracle" not in text
    assert not re.search(r"\bnan\b", text)


def test_limits_that_differ_between_categories_are_named_so(data: ReportData, tmp_path: Path) -> None:
    own = replace(data.chosen, energy_budget_j=math.nan, latency_budget_s=math.nan)
    text, _ = page(replace(data, chosen=own), tmp_path)
    assert "energy per category, latency per category" in text
    assert not re.search(r"\bnan\b", text)


def test_no_limit_reads_as_none(data: ReportData, tmp_path: Path) -> None:
    text, _ = page(replace(data, chosen=data.presets[3]), tmp_path)
    assert "energy none, latency none" in text
    assert not re.search(r"\binf\b", text)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_names_cannot_break_out(data: ReportData, tmp_path: Path, name: str) -> None:
    def renamed(row: FrontierRow) -> FrontierRow:
        return replace(row, experts=tuple(name if e == "chatqa-8b" else e for e in row.experts))

    experts = {name if e == "chatqa-8b" else e: spec for e, spec in data.experts.items()}
    hostile = replace(
        data,
        title=name,
        experts=experts,
        chosen=renamed(data.chosen),
        presets=tuple(map(renamed, data.presets)),
        grid=tuple(map(renamed, data.grid)),
        calibration={name: (0.4, 0.5)},
    )
    text = write_report(hostile, tmp_path / "report.html").read_text(encoding="utf-8")
    assert name not in text
    assert "&lt;" in text
    assert text.count("</script>") == write_report(data, tmp_path / "b.html").read_text().count("</script>")


def test_importing_the_room_loads_neither_plotly_nor_wandb() -> None:
    code = (
        "import sys, moe2_pl.report; print({'plotly', 'wandb', 'rich', 'jinja2', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
