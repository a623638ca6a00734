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
from typing import Any

import pytest

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report import write_report
from moe2_pl.report._format import budget_text
from moe2_pl.report._run_report._answer import claims
from moe2_pl.report._run_report._html import panels


def page(data: Results, folder: Path) -> tuple[str, dict[str, dict]]:
    """The page without the library's script, and its figures."""
    text = write_report(data, folder / "report.html").read_text(encoding="utf-8")
    specs = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.S)
    assert specs is not None
    library = max(re.findall(r"<script .*?</script>", text, re.S), key=len)
    assert len(library) > 1_000_000
    return unescape(text.replace(library, "").replace(specs[0], "")), json.loads(specs[1])


def the_answer(text: str) -> str:
    return text[text.index('id="answer"') : text.index("</section>")]


def test_one_small_file_made_in_time(data: Results, tmp_path: Path) -> None:
    start = perf_counter()
    path = write_report(data, tmp_path / "run" / "report.html")
    assert perf_counter() - start < 3
    assert path.stat().st_size < 6_000_000
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text(encoding="utf-8").lstrip().startswith("<!doctype html>")


def test_nothing_is_fetched(data: Results, tmp_path: Path) -> None:
    text, _ = page(data, tmp_path)
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)""", text)
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text  # and the browser refuses what the library might ask for


def test_the_answer_comes_first_with_experts_on_their_devices(data: Results, tmp_path: Path) -> None:
    text, _ = page(data, tmp_path)
    answer = the_answer(text)
    for figure in (f"{data.chosen.score:.3f}", "709 J", "3.81 s", "proven optimal"):
        assert figure in answer
    for device in data.chosen.devices:
        box = answer.split(f"<b>{device}</b>")[1].split("</ul>")[0]
        on_it = re.findall(r"<li>(.*?) <span", box)
        assert on_it == [name for name in data.chosen.experts if data.experts[name]["device"] == device]
    assert data.chosen.overloaded
    assert "Overloaded at 0.07 queries/s: " + ", ".join(data.chosen.overloaded) in answer


def test_the_answer_says_what_the_budget_costs_and_what_the_gate_is_worth(
    data: Results, tmp_path: Path
) -> None:
    answer = the_answer(page(data, tmp_path)[0])
    rows = dict(re.findall(r'<tr><th scope="row">(.*?)(?:<br>.*?)?</th>(.*?)</tr>', answer))
    assert list(rows) == [row.against for row in data.contrasts]
    for row in data.contrasts:
        assert f"{row.difference:+.3f}".replace("-", "−") in rows[row.against]
    loss = data.chosen.score - data.presets[3].score
    assert f"against no budget</span><b>−{-loss:.3f}</b>" in answer


def test_shares_of_the_answer_are_of_all_queries(data: Results, tmp_path: Path) -> None:
    answer = the_answer(page(data, tmp_path)[0])
    shares = [int(share) for share in re.findall(r">(\d+) % of queries", answer)]
    assert len(shares) == len(data.chosen.experts)
    assert abs(sum(shares) - 100) <= len(shares) / 2


def test_claims_follow_what_was_measured(data: Results) -> None:
    def claim(about: str, of: Results) -> str:
        return next((c.text for c in claims(of) if c.about == about), "")

    assert data.certificate is not None
    own = replace(data.certificate.rows[0], experts=data.chosen.experts, regret=0.02, low=0.01, high=0.03)
    seen = replace(data, certificate=replace(data.certificate, rows=(own,)))
    assert "these experts alone" in claim("Trained once", seen)
    assert "retraining would help" in claim("Trained once", seen)
    assert "own is not among them" in claim("Trained once", data)
    assert "Not measured" in claim("Trained once", replace(data, certificate=None))

    def planned(**figures: object) -> Results:
        return replace(data, chosen=replace(data.chosen, **figures))

    assert "Proven" in claim("The choice", planned(status="optimal"))
    assert "0.02 or more above" in claim("The choice", planned(status="gap", gap=0.02))
    assert "not known" in claim("The choice", planned(status="heuristic"))
    inside, outside = planned(planned=0.61, score=0.6, score_half_width=0.02), planned(planned=0.7, score=0.6)
    assert "inside the interval" in claim("The score", inside)
    assert "off by −0.100." in claim("The score", outside)
    busy = planned(planned=0.7, score=0.6, prices={"orin_a": 0.01}, load_loss=0.04)
    assert "off by −0.100, −0.040 of it to keep devices from being too busy." in claim("The score", busy)
    assert not claim("The gate", replace(data, contrasts=()))


def test_every_expert_of_the_pool_is_shown_by_category(data: Results, tmp_path: Path) -> None:
    (heat,) = page(data, tmp_path)[1]["experts"]["data"]
    assert [row.removeprefix("● ") for row in heat["y"]] == list(data.expert_scores)
    assert {row for row in heat["y"] if row.startswith("● ")} == {f"● {e}" for e in data.chosen.experts}
    for at, (name, scores) in enumerate(data.expert_scores.items()):
        assert heat["text"][at] == [f"{scores[c]:.3f}" for c in heat["x"]]
        assert all(name in text for text in heat["hovertext"][at])
    for column in zip(*heat["z"], strict=True):
        assert max(column) == 0


def test_what_each_part_adds_stands_beside_what_it_takes(data: Results, tmp_path: Path) -> None:
    text, _ = page(data, tmp_path)
    table, _, left_out = text[text.index('id="parts"') : text.index('id="plot-experts"')].partition(
        "What is left out"
    )
    lines = re.findall(r'<tr(?: class="member")?><th scope="row">(.*?)</tr>', table, re.S)
    without = [part for part in data.parts if part.change == "without"]
    assert len(lines) == len(without)
    for part, line in zip(without, lines, strict=True):
        assert line.startswith(part.devices[0] if part.whole else part.experts[0])
        if part.required:
            assert "required by the configuration" in line
        elif part.unserved:
            assert f"nobody left for {', '.join(part.unserved)}" in line
        else:
            assert f"<b>−{-part.difference:.3f}</b>" in line
            assert "−171 J" in line
            assert "+0.4 s" in line
    (line,) = re.findall(r'<tr><th scope="row">(.*?)</tr>', left_out, re.S)
    assert line.startswith("chatqa-70b")
    assert "+1,000 J" in line
    assert "no room" in line
    assert "expert_pool.excluded=[nemotron-51b,chatqa-70b]" in table
    assert 'href="#parts"' in the_answer(text)
    full = replace(data.parts[-1], room=True, unserved=("tutor", "coder"))
    text, _ = page(replace(data, parts=(full,) * 13), tmp_path)
    assert text.count("nobody left for tutor, coder within the budget") == 13
    assert "<summary>13 experts</summary>" in text
    one = replace(data, parts=(), contrasts=())
    text, _ = page(one, tmp_path)
    assert 'id="parts"' not in text
    assert 'href="#parts"' not in text


def test_an_expert_kept_out_of_a_category_says_by_what(data: Results, tmp_path: Path) -> None:
    (heat,) = page(data, tmp_path)[1]["routing"]["data"]
    row, column = heat["y"].index(data.chosen.experts[0]), heat["x"].index("puzzles")
    assert heat["text"][row][column] == "✕ 36 s"
    assert "would take 900 J (limit 900 J) and 36 s (limit 12 s)" in heat["hovertext"][row][column]
    assert "✕: not allowed there" in panels(data)["routing"].caption
    assert sum("✕" in cell for line in heat["text"] for cell in line) == 1


def test_every_figure_stands_with_its_caption(data: Results, tmp_path: Path) -> None:
    text, specs = page(data, tmp_path)
    made = panels(data)
    assert set(specs) == set(made) == {
        "frontier", "map", "experts", "routing", "categories", "utilisation", "load", "calibration",
        "certificate", "baselines",
    }  # fmt: skip
    for panel in made.values():
        assert len(panel.caption) > 40
        assert panel.caption in text
        assert f'id="plot-{panel.key}"' in text


def test_the_frontier_shows_every_router_for_every_latency(data: Results, tmp_path: Path) -> None:
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


def test_a_router_has_one_colour_everywhere(data: Results, tmp_path: Path) -> None:
    _, specs = page(data, tmp_path)
    traces = [t for spec in specs.values() for t in spec["data"] if t.get("name") in {"MoE²", "lookup"}]
    colours = {(t["name"], (t.get("line") or t["marker"])["color"]) for t in traces}
    assert len(colours) == 2


def test_infeasible_cells_are_marked_as_such(data: Results, tmp_path: Path) -> None:
    spec = page(data, tmp_path)[1]["map"]
    marks = next(t for t in spec["data"] if t.get("name") == "infeasible")
    infeasible = sum(not row.feasible for row in data.grid)
    assert len(marks["x"]) == infeasible > 0
    heat = spec["data"][0]["z"]
    assert sum(value is None for line in heat for value in line) == infeasible
    assert all(heat[int(y)][int(x)] is None for x, y in zip(marks["x"], marks["y"], strict=True))


def test_an_infeasible_budget_recommends_nothing_and_names_the_nearest(
    data: Results, infeasible: FrontierRow, tmp_path: Path
) -> None:
    text, specs = page(replace(data, chosen=infeasible, contrasts=(), steps=()), tmp_path)
    answer = the_answer(text)
    assert "Infeasible: no subset meets this budget" in answer
    assert "energy ≤ 1 J, latency ≤ 0.1 s" in answer
    assert "<li>" not in answer
    assert "nearest looser budget of this run that can be met: energy ≤" in answer
    assert set(specs) == {
        "frontier",
        "map",
        "experts",
        "utilisation",
        "calibration",
        "certificate",
        "baselines",
    }


def test_without_a_grid_the_named_budgets_stand_in(data: Results, tmp_path: Path) -> None:
    text, specs = page(replace(data, grid=()), tmp_path)
    assert "map" not in specs
    assert "no map of budgets" in text
    ours = next(t for t in specs["frontier"]["data"] if t["name"] == "MoE²")
    assert ours["x"] == [row.score for row in (data.chosen, *data.presets)]


def test_no_family_oracle_no_claim_about_it(data: Results, tmp_path: Path) -> None:
    def without(row: FrontierRow) -> FrontierRow:
        return replace(row, family_oracle_score=math.nan)

    grid, presets = tuple(map(without, data.grid)), tuple(map(without, data.presets))
    known = tuple(row for row in data.contrasts if row.against != "family oracle")
    text, _ = page(
        replace(data, grid=grid, presets=presets, chosen=without(data.chosen), contrasts=known), tmp_path
    )
    assert "against the family oracle" not in text
    assert not re.search(r"\bnan\b", text)


def test_limits_that_differ_between_categories_are_named_so(data: Results, tmp_path: Path) -> None:
    own = replace(data.chosen, energy_budget_j=math.nan, latency_budget_s=math.nan)
    text, _ = page(replace(data, chosen=own), tmp_path)
    assert "energy (assistant ≤ 900 J, tutor ≤ 900 J, coder ≤ 900 J, puzzles ≤ 900 J), latency (" in text
    assert not re.search(r"\bnan\b", text)
    assert budget_text(replace(own, categories=())).startswith("energy per category, latency per category")


def test_no_limit_reads_as_none(data: Results, tmp_path: Path) -> None:
    text, _ = page(replace(data, chosen=data.presets[3]), tmp_path)
    assert "energy none, latency none" in text
    assert not re.search(r"\binf\b", text)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_names_cannot_break_out(data: Results, tmp_path: Path, name: str) -> None:
    def renamed(row: Any) -> Any:
        return replace(row, experts=tuple(name if e == "chatqa-8b" else e for e in row.experts))

    experts = {name if e == "chatqa-8b" else e: spec for e, spec in data.experts.items()}
    hostile = replace(
        data,
        title=name,
        experts=experts,
        chosen=renamed(data.chosen),
        presets=tuple(map(renamed, data.presets)),
        grid=tuple(map(renamed, data.grid)),
        contrasts=tuple(map(renamed, data.contrasts)),
        parts=tuple(map(renamed, data.parts)),
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


def test_experts_that_no_shown_budget_deploys_are_named_in_one_line(data: Results, tmp_path: Path) -> None:
    few = replace(data, presets=(data.presets[0],) * 4, chosen=data.presets[0])
    text, _ = page(few, tmp_path)
    table = text[text.index('id="deployments"') : text.index('id="frontier"')]
    left = [name for name in data.experts if name not in data.presets[0].experts]
    assert left
    assert f"In none of these deployments: {', '.join(left)}." in table
    assert all(f'<th scope="row">{name}</th>' not in table for name in left)
    assert all(f'<th scope="row">{name}</th>' in table for name in data.presets[0].experts)
