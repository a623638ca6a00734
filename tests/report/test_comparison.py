"""The page of a sweep: what varied, which job is best and by what, what went wrong; for any sweep, and any name."""

import io
import json
import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from time import perf_counter

import pytest
from rich.console import Console
from tests.browser import needs_browser, overlaps, running, serious, visit
from tests.report.conftest import ENERGIES, LATENCIES, frontier_row

from moe2_pl.report import (
    Comparison,
    JobRow,
    print_comparison,
    read_frontier,
    write_comparison,
    write_frontier,
)
from moe2_pl.report._comparison._answer import answer
from moe2_pl.report._comparison._html import sections

NAN = math.nan


def job(number: int, energy: float = 900.0, latency: float = 12.0, /, **rest) -> JobRow:
    """A job that found a deployment; ``asked`` by default only its budget."""
    asked = rest.pop("asked", {"budget.energy_j": f"{energy:g}", "budget.latency_s": f"{latency:g}"})
    row = replace(frontier_row("chosen", energy, latency), score_half_width=0.01)
    given = {"chosen": row, "planned_unit": "score", "validation_score": row.score + 0.01, "queries": "a"}
    return JobRow(str(number), asked, "ended", **{**given, "report": f"{number}/report.html", **rest})


def lost(number: int, outcome: str, reason: str, **asked: str) -> JobRow:
    return JobRow(str(number), asked, outcome, reason)


def budgets() -> Comparison:
    """Five energy limits × three latency limits; the tightest are infeasible."""
    limits = [(e, x) for e in (60.0, 400.0, 700.0, 1000.0, 1500.0) for x in (2.0, 6.0, 15.0)]
    jobs = [job(i, e, x) for i, (e, x) in enumerate(limits)]
    return Comparison(
        "sweep",
        tuple(
            j
            if j.row
            else replace(j, outcome="infeasible", reason="tutor needs 222 J", validation_score=NAN, report="")
            for j in jobs
        ),
    )


def seeds(scores: dict[str, list[float]]) -> Comparison:
    """One job for each objective and seed, with that validation score and .02 less held out."""
    pairs = [(o, seed, value) for o, values in scores.items() for seed, value in enumerate(values)]
    return Comparison(
        "sweep",
        tuple(
            job(
                i,
                asked={"objective": o, "seed": str(seed), "certificate": "off"},
                validation_score=value,
                chosen=replace(frontier_row("chosen", 900.0, 12.0), score=value - 0.02),
                grid=tuple(frontier_row("grid", e, x) for e in ENERGIES for x in LATENCIES),
            )
            for i, (o, seed, value) in enumerate(pairs)
        ),
    )


def budgets_by_seeds(scores: dict[str, list[float]], **needs: tuple[float, float]) -> Comparison:
    """One job for each named budget and seed, with that held-out score; ``needs`` are J and s of a query."""
    limits = {"tight": (420.0, 2.0), "medium": (900.0, 12.0), "loose": (1500.0, 15.0)}
    pairs = [(b, seed, value) for b, values in scores.items() for seed, value in enumerate(values)]
    jobs = []
    for i, (b, seed, value) in enumerate(pairs):
        energy, latency = needs.get(b, limits[b])
        made = job(i, *limits[b], asked={"budget": b, "seed": str(seed)})
        row = replace(made.chosen, score=value, energy_j=energy, latency_s=latency, score_half_width=0.024)
        jobs.append(replace(made, chosen=row))
    return Comparison("sweep", tuple(jobs))


def search() -> Comparison:
    """Trials of two numbers and a name; the fourth failed, the sixth is the best."""
    scores = [0.60, 0.61, 0.605, NAN, 0.615, 0.63, 0.62, 0.625]
    return Comparison(
        "search",
        tuple(
            job(
                i,
                asked={
                    "gate.optimizer.lr": f"{0.0003 * 2**i:.17g}",
                    "gate.network.hidden": "64" if i % 2 else "256",
                },
                validation_score=value,
            )
            if value == value
            else lost(i, "failed", "gate.network.hidden is 'abc'", **{"gate.network.hidden": "abc"})
            for i, value in enumerate(scores)
        ),
        search=True,
    )


def page(c: Comparison, folder: Path) -> tuple[str, dict[str, dict]]:
    """The page without the library's script, and its figures."""
    text = write_comparison(c, folder / "comparison.html").read_text(encoding="utf-8")
    specs = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.S)
    assert specs is not None
    library = max(re.findall(r"<script .*?</script>", text, re.S), key=len)
    return unescape(text.replace(library, "").replace(specs[0], "")), json.loads(specs[1])


def named(spec: dict, name: str) -> list[dict]:
    return [trace for trace in spec["data"] if trace.get("name") == name]


def test_a_frontier_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [replace(frontier_row("grid", e, 6.0), prices={}, categories=()) for e in (60.0, 700.0, math.inf)]
    found = read_frontier(write_frontier(rows, tmp_path / "frontier.csv"))
    assert [repr(row) for row in found] == [repr(row) for row in rows]


def test_forty_jobs_in_time_and_one_file(tmp_path: Path) -> None:
    jobs = seeds({f"o{i}": [0.6 + 0.001 * i, 0.61] for i in range(20)})
    start = perf_counter()
    path = write_comparison(jobs, tmp_path / "comparison.html")
    assert perf_counter() - start < 3
    assert path.stat().st_size < 6_000_000
    text, specs = page(jobs, tmp_path)
    table = text[text.index('id="jobs"') :]
    assert re.findall(r'href="(\d+)/report\.html"', table) == [str(i) for i in range(40)]
    assert not re.findall(r"""(?:src|action)\s*=\s*["'](?!#|data:)""", text)
    assert all(re.match(r"(#|data:|\d+/report\.html$)", link) for link in re.findall(r'href="(.*?)"', text))
    coloured = {t["name"] for t in specs["frontiers-energy"]["data"] if t.get("showlegend")}
    assert len(coloured) == 8


def test_what_varied_and_what_did_not_is_said_first(tmp_path: Path) -> None:
    text, _ = page(seeds({"competence": [0.63, 0.64], "mixture": [0.60, 0.61]}), tmp_path)
    first = text[text.index('id="answer"') : text.index("</section>")]
    assert "objective (competence, mixture); seed (0, 1)" in first
    assert "The same in all jobs: certificate=off" in first


def test_the_best_is_chosen_by_the_mean_validation_score_and_not_by_the_held_out_one() -> None:
    # The single best job is mixture's, and so is the highest held-out score.
    c = seeds({"competence": [0.63, 0.632], "mixture": [0.60, 0.64]})
    c = replace(
        c,
        jobs=tuple(
            replace(j, chosen=replace(j.row, score=0.7)) if j.asked["objective"] == "mixture" else j
            for j in c.jobs
        ),
    )
    found = answer(c)
    assert "objective=competence" in found.heading
    assert found.best is not None
    assert found.best.job == "1"
    assert ("best validation score", "0.631", "± 0.001, mean of 2 seeds") in found.tiles
    assert any("The next is objective=mixture, −0.011" in sentence for sentence in found.sentences)


def test_a_lead_that_seeds_could_make_is_no_win() -> None:
    sure = answer(seeds({"competence": [0.630, 0.632], "mixture": [0.60, 0.602]}))
    unsure = answer(seeds({"competence": [0.60, 0.65], "mixture": [0.61, 0.62]}))
    assert sure.heading == "Best by validation score: objective=competence"
    assert unsure.heading.startswith("No clear winner: objective=competence is 0.010 ahead")
    alone = answer(seeds({"competence": [0.63], "mixture": [0.60]}))
    assert (
        alone.heading
        == "Highest validation score, by 0.030 at one seed, which may be chance: objective=competence"
    )
    assert any("run them with seed=0,1,2" in sentence for sentence in alone.sentences)
    # Where the best has one seed, the others' tell how much seeds matter.
    known = answer(seeds({"competence": [0.631], "mixture": [0.61, 0.65]}))
    assert known.heading.startswith("No clear winner: objective=competence is 0.001 ahead")


def test_of_equal_scores_the_one_with_fewer_joules_is_best() -> None:
    c = seeds({"mixture": [0.6301], "competence": [0.6299]})
    thrifty = replace(c.jobs[1], chosen=replace(c.jobs[1].row, energy_j=1.0))
    found = answer(replace(c, jobs=(c.jobs[0], thrifty)))
    assert found.best is thrifty
    assert (
        found.heading == "No clear winner: objective=competence and objective=mixture tie in validation score"
    )


def test_variants_show_their_mean_and_scatter_and_every_job(tmp_path: Path) -> None:
    _, specs = page(seeds({"mixture": [0.60, 0.62], "competence": [0.63, 0.65]}), tmp_path)
    spec = specs["variants-validation_score"]
    (means,) = named(spec, "mean ± sd over seeds")
    assert means["x"] == pytest.approx([0.64, 0.61])
    assert means["error_x"]["array"] == pytest.approx([0.02 / math.sqrt(2)] * 2)
    assert sorted(named(spec, "a job")[0]["x"]) == [0.60, 0.62, 0.63, 0.65]
    assert [note["text"] for note in spec["layout"]["annotations"]] == [
        "<b>objective=competence</b>",
        "<b>objective=mixture</b>",
    ]
    assert named(specs["variants-score"], "mean ± sd over seeds")[0]["x"] == pytest.approx([0.62, 0.59])


def test_budgets_have_one_line_for_each_latency_limit(tmp_path: Path) -> None:
    c = budgets()
    text, specs = page(c, tmp_path)
    feasible = [j for j in c.jobs if j.row]
    for latency in (2.0, 6.0, 15.0):
        (line,) = named(specs["budgets"], f"latency {latency:g} s")
        assert line["y"] == [j.score for j in feasible if j.row.latency_budget_s == latency]
    assert {"lookup", "best single expert"} <= {t.get("name") for t in specs["budgets"]["data"]}
    (planned,) = named(specs["planned"], "a job")
    assert planned["x"] == [j.row.planned for j in feasible]
    assert planned["y"] == [j.score for j in feasible]
    top = max(feasible, key=lambda j: j.score)
    assert f"The highest held-out score is that of job {top.job} (" in text
    assert "variants" not in {s.key for s in sections(c)}


def test_the_cheapest_budget_within_the_interval_is_named() -> None:
    def with_row(j: JobRow, **figures: float) -> JobRow:
        return replace(j, chosen=replace(j.row, **figures))

    c = Comparison(
        "s",
        (
            with_row(job(0, 700.0, 6.0), score=0.500, energy_j=100.0, latency_s=1.0),
            with_row(job(1, 900.0, 6.0), score=0.595, energy_j=300.0, latency_s=4.0),
            with_row(job(2, 1000.0, 6.0), score=0.593, energy_j=500.0, latency_s=2.0),
            with_row(job(3, 1500.0, 6.0), score=0.600, energy_j=600.0, latency_s=5.0),
        ),
    )
    said = " ".join(answer(c).sentences)
    assert "job 1 (energy_j=900) needs the fewest joules, 50 % less: 0.595 at 300 J" in said
    assert "job 2 (energy_j=1000) needs the fewest seconds, 60 % less: 0.593 at 500 J and 2 s" in said


def test_budgets_are_not_ranked_but_show_what_each_buys_over_seeds(tmp_path: Path) -> None:
    c = budgets_by_seeds({"tight": [0.52, 0.53], "medium": [0.60, 0.59], "loose": [0.632, 0.635]})
    # The seed that scores highest in validation is no winner either.
    c = replace(c, jobs=(replace(c.jobs[0], validation_score=0.9), *c.jobs[1:]))
    found = answer(c)
    assert found.heading == "Held-out score 0.525 to 0.633, depending on the budget (mean over seeds)"
    assert found.best is None
    assert ("energy per query", "420 J to 1,500 J", "3 budgets, mean over seeds") in found.tiles
    text, specs = page(c, tmp_path)
    table = text[text.index('aria-label="What each budget buys"') : text.index("</section>")]
    assert re.findall(r"<th scope=\"row\">(.*?)</th>\s*<td class=\"number\">(.*?)</td>", table) == [
        ("budget=tight", "0.525 ± 0.007"),
        ("budget=medium", "0.595 ± 0.007"),
        ("budget=loose", "0.633 ± 0.002"),
    ]
    assert re.findall(r'href="(\d)/report\.html"', table) == list("012345")
    assert "Budgets are not ranked" in text
    assert "Choose settings by the validation score" not in text
    assert {section.key for section in sections(c)} == {"budgets", "planned", "experts"}
    (ours,) = named(specs["budgets"], "MoE²")
    assert ours["error_y"]["array"] == pytest.approx([0.01 / math.sqrt(2)] * 2 + [0.003 / math.sqrt(2)])
    assert terminal(c, 100).strip().endswith(found.heading)


def test_another_budget_is_named_only_if_it_saves_noticeably() -> None:
    scores = {"medium": [0.63, 0.62], "loose": [0.632, 0.635]}

    def said(**needs: tuple[float, float]) -> list[str]:
        return [text for text in answer(budgets_by_seeds(scores, **needs)).sentences if "Within" in text]

    # Of one budget another seed is no alternative, however little it needs.
    assert said(medium=(1765.0, 12.3), loose=(1768.0, 12.3)) == []
    (saves,) = said(medium=(884.0, 12.25), loose=(1768.0, 12.3))
    assert "budget=medium (jobs 0, 1) needs the fewest joules, 50 % less: 0.625 ± 0.007 at 884 J" in saves
    assert "seconds" not in saves
    (both,) = said(medium=(884.0, 11.07), loose=(1768.0, 12.3))
    assert "needs the fewest joules, 50 % less, and the fewest seconds, 10 % less: " in both


def test_under_several_budgets_variants_are_in_order_within_each(tmp_path: Path) -> None:
    scores = {("tight", "a"): 0.54, ("tight", "b"): 0.55, ("loose", "a"): 0.60, ("loose", "b"): 0.63}
    c = Comparison(
        "s",
        tuple(
            job(i, asked={"budget": b, "objective": o, "seed": seed}, validation_score=value)
            for i, ((b, o), value) in enumerate(scores.items())
            for seed in "01"
        ),
    )
    assert [choice.lead for choice in answer(c).choices] == [
        "+0.010 (seeds ± 0.000)",
        "+0.030 (seeds ± 0.000)",
    ]
    spec = page(c, tmp_path)[1]["variants-validation_score"]
    assert [note["text"] for note in spec["layout"]["annotations"]] == [
        f"<b>budget={b}, objective={o}</b>" for b in ("tight", "loose") for o in "ba"
    ]
    # Nor does a number have a best value over all budgets.
    numbers = [job(i, asked={"budget": "tight" if i < 3 else "loose", "lr": str(i % 3)}) for i in range(6)]
    assert "search" not in {section.key for section in sections(Comparison("s", tuple(numbers)))}


def test_seeds_of_a_budget_share_a_column_of_the_experts(tmp_path: Path) -> None:
    c = budgets_by_seeds({"tight": [0.52, 0.53], "loose": [0.63, 0.64]})
    deployed = [("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c")]
    jobs = [
        replace(j, chosen=replace(j.chosen, experts=experts))
        for j, experts in zip(c.jobs, deployed, strict=True)
    ]
    spec = page(replace(c, jobs=tuple(jobs)), tmp_path)[1]["experts"]
    heat = spec["data"][0]
    cells = dict(zip(heat["y"], heat["z"], strict=True))
    assert cells == {"a": [1.0, None, 1.0], "b": [0.5, None, 1.0], "c": [None, None, 1.0]}
    assert spec["layout"]["xaxis"]["ticktext"] == ["420 J, 2 s", "1,500 J, 15 s"]
    assert "1 of 2 seeds (job 1)" in heat["hovertext"][heat["y"].index("b")][0]
    # One seed that finds no subset makes no cross; all seeds do.
    none = replace(c.jobs[0].chosen, status="infeasible", experts=())
    lost_one = [replace(jobs[0], outcome="infeasible", chosen=none), *jobs[1:]]
    spec = page(replace(c, jobs=tuple(lost_one)), tmp_path)[1]["experts"]
    assert named(spec, "infeasible") == []
    assert spec["data"][0]["z"][spec["data"][0]["y"].index("a")] == [0.5, None, 1.0]


def test_the_experts_of_each_budget_are_marked(tmp_path: Path) -> None:
    def energy(j: JobRow) -> float:
        return j.chosen.energy_budget_j

    c = budgets()
    spec = page(c, tmp_path)[1]["experts"]
    heat = spec["data"][0]
    # A column without cells parts the latency limits.
    placed = [
        found
        for x in (2.0, 6.0, 15.0)
        for found in (*sorted((j for j in c.jobs if j.chosen.latency_budget_s == x), key=energy), None)
    ][:-1]
    for name, cells in zip(heat["y"], heat["z"], strict=True):
        assert [bool(cell) for cell in cells] == [bool(j) and name in j.chosen.experts for j in placed]
    assert set(heat["y"]) == {name for j in c.jobs for name in j.chosen.experts}
    (crosses,) = named(spec, "infeasible")
    assert {int(x) for x in crosses["x"]} == {i for i, j in enumerate(placed) if j and not j.row}
    assert spec["layout"]["xaxis"]["ticktext"] == ["2 s", "6 s", "15 s"]


def test_named_budgets_stand_side_by_side(tmp_path: Path) -> None:
    limits = {"tight": (420.0, 2.0), "medium": (900.0, 12.0), "loose": (1500.0, 15.0)}
    c = Comparison("s", tuple(job(i, *limits[n], asked={"budget": n}) for i, n in enumerate(limits)))
    _, specs = page(c, tmp_path)
    (ours,) = named(specs["budgets"], "MoE²")
    assert ours["x"] == ["budget=tight", "budget=medium", "budget=loose"]
    assert ours["y"] == [j.score for j in c.jobs]


def test_frontiers_lie_above_each_other_at_the_loosest_other_limit(tmp_path: Path) -> None:
    spec = page(seeds({"competence": [0.63], "mixture": [0.60]}), tmp_path)[1]["frontiers-energy"]
    assert [t["name"] for t in spec["data"]] == ["objective=competence", "objective=mixture"]
    rows = [row for e in ENERGIES if (row := frontier_row("grid", e, LATENCIES[-1])).feasible]
    for trace in spec["data"]:
        assert trace["x"] == [row.energy_budget_j for row in rows]
        assert trace["y"] == [row.score for row in rows]


def test_a_search_shows_each_setting_and_the_best_so_far(tmp_path: Path) -> None:
    c = search()
    text, specs = page(c, tmp_path)
    assert set(specs) == {"search-trials", "search-0", "search-1"}
    scored = [j for j in c.jobs if j.row]
    assert named(specs["search-trials"], "best so far")[0]["y"] == [0.60, 0.61, 0.61, 0.615, 0.63, 0.63, 0.63]
    assert specs["search-trials"]["layout"]["xaxis"]["dtick"] == 1
    lr = specs["search-0"]
    assert lr["layout"]["xaxis"]["title"]["text"] == "gate.optimizer.lr"
    assert lr["layout"]["xaxis"]["type"] == "log"
    assert named(lr, "a job")[0]["x"] == [float(j.asked["gate.optimizer.lr"]) for j in scored]
    assert named(lr, "best")[0]["x"] == [float(c.jobs[5].asked["gate.optimizer.lr"])]
    assert "1 of 8 trials have no score" in text


def test_every_job_without_a_complete_result_is_named_with_its_reason(tmp_path: Path) -> None:
    c = Comparison(
        "s",
        (
            job(0, asked={"seed": "0"}),
            job(1, asked={"seed": "1"}),
            lost(2, "failed", "gate.network.hidden is 'abc'", seed="2"),
            lost(3, "infeasible", "tutor needs 222 J", seed="3"),
            lost(4, "interrupted", "it has not come to its end", seed="4"),
            job(5, asked={"seed": "5"}, reason="interrupted while planning"),
        ),
        partial=True,
    )
    c = replace(c, jobs=(*c.jobs[:5], replace(c.jobs[5], outcome="partial")))
    text, _ = page(c, tmp_path)
    assert "Comparison of 6 jobs (partial: interrupted)" in text
    assert "2 with a deployment, 1 infeasible, 1 failed, 1 interrupted, 1 partial" in text
    rows = dict(re.findall(r"<li><b>job (?:<a [^>]*>)?(\d)(?:</a>)?</b>(.*?)</li>", text, re.S))
    assert set(rows) == {"2", "3", "4", "5"}
    for bad in c.jobs[2:]:
        assert f"(seed={bad.asked['seed']})" in rows[bad.job]
        assert bad.outcome in rows[bad.job]
        assert bad.reason in rows[bad.job]


def test_a_setting_that_only_failed_jobs_have_hides_no_comparison() -> None:
    c = budgets()
    jobs = [replace(j, asked={**j.asked, "gate.network.hidden": "32"}) for j in c.jobs]
    failed = [
        lost(90 + i, "failed", "no number", **{**j.asked, "gate.network.hidden": "abc"})
        for i, j in enumerate(jobs)
    ]
    mixed = Comparison("s", (*jobs, *failed))
    assert [s.key for s in sections(mixed)] == [s.key for s in sections(c)]
    assert answer(mixed).heading == answer(c).heading


@pytest.mark.parametrize("outcome", ["infeasible", "failed", "interrupted"])
def test_a_sweep_without_a_deployment_recommends_nothing(outcome: str, tmp_path: Path) -> None:
    c = Comparison("s", tuple(lost(i, outcome, f"reason {i}", seed=str(i)) for i in range(3)))
    text, specs = page(c, tmp_path)
    assert f"No job has a deployment: 3 {outcome}" in text
    assert all(f"reason {i}" in text for i in range(3))
    assert specs == {}
    assert "report.html" not in text
    assert not re.search(r"\bnan\b", text)


def test_one_job_is_not_compared(tmp_path: Path) -> None:
    c = Comparison("s", (job(0, asked={"seed": "3"}),))
    text, specs = page(c, tmp_path)
    assert f"One deployment to look at, of the only job: held-out score {c.jobs[0].score:.3f}" in text
    assert "Nothing varied" in text
    assert specs == {}


def test_an_interrupted_sweep_says_what_never_began(tmp_path: Path) -> None:
    asked = [{"seed": str(seed), "gate": "mlp"} for seed in range(12)]
    done = tuple(job(i, asked=asked[i]) for i in range(3))
    cut = lost(3, "interrupted", "it has not come to its end", **asked[3])
    c = Comparison("s", (*done, cut), partial=True, never_began=tuple(asked[4:]))
    text, _ = page(c, tmp_path)
    assert "Comparison of 4 of 12 jobs (partial: interrupted)" in text
    assert "3 of 12 jobs ended, 1 was interrupted, 8 never began." in text
    assert "3 with a deployment, 1 interrupted, 8 never began" in text
    assert "3 of 12 jobs ended, 1 was interrupted, 8 never began." in terminal(c, 100)


def test_of_one_job_that_ended_before_the_interrupt_nothing_is_said_of_all(tmp_path: Path) -> None:
    first = job(0, asked={"seed": "0"})
    for c in (
        Comparison("s", (first,), partial=True, never_began=({"seed": "1"}, {"seed": "2"})),
        Comparison("s", (first,), partial=True, never_began=({}, {}), search=True),
    ):
        text, _ = page(c, tmp_path)
        assert "One deployment to look at, of job 0" in text
        assert "Nothing varied" not in text
        assert "The same in all jobs" not in text
        assert ("seed (0, 1, 2)" in text) is not c.search
        assert "1 of 3 jobs ended, 2 never began." in text


def test_jobs_that_only_trained_say_so(tmp_path: Path) -> None:
    c = Comparison("s", tuple(JobRow(str(i), {"seed": str(i)}, "ended") for i in range(2)))
    text, specs = page(c, tmp_path)
    assert "No job was evaluated" in text
    assert "2 without evaluation" in text
    assert specs == {}


def test_the_best_is_named_for_each_budget_where_other_settings_varied_too(tmp_path: Path) -> None:
    scores = {("tight", "mixture"): 0.55, ("tight", "competence"): 0.54, ("loose", "mixture"): 0.60}
    scores["loose", "competence"] = 0.63
    c = Comparison(
        "s",
        tuple(
            job(i, asked={"budget": b, "objective": o}, validation_score=value)
            for i, ((b, o), value) in enumerate(scores.items())
        ),
    )
    best = {choice.among: choice.job.asked["objective"] for choice in answer(c).choices}
    assert best == {"budget=tight": "mixture", "budget=loose": "competence"}
    assert [choice.lead for choice in answer(c).choices] == ["+0.010", "+0.030"]
    text, _ = page(c, tmp_path)
    assert "The best of each budget" in text
    assert "run them with seed=0,1,2" in text
    assert "Budgets of one name" not in text
    other = replace(c.jobs[0], chosen=replace(c.jobs[0].row, energy_budget_j=1.0))
    assert "Budgets of one name have other limits" in page(replace(c, jobs=(other, *c.jobs[1:])), tmp_path)[0]


def test_jobs_on_different_queries_are_not_ranked_together(tmp_path: Path) -> None:
    c = Comparison(
        "s",
        (
            job(0, asked={"expert_pool": "a"}, validation_score=0.9, queries="x"),
            job(1, asked={"expert_pool": "b"}, validation_score=0.5, queries="y"),
        ),
    )
    assert {choice.job.job for choice in answer(c).choices} == {"0", "1"}
    assert "judged on different queries" in page(c, tmp_path)[0]


def test_the_certificate_has_a_column_only_where_there_is_one(tmp_path: Path) -> None:
    plain = seeds({"competence": [0.63, 0.64]})
    assert ">mean regret<" not in page(plain, tmp_path)[0]
    with_one = replace(plain.jobs[0], mean_regret=0.0026, mean_regret_low=-0.001, mean_regret_high=0.006)
    text, _ = page(replace(plain, jobs=(with_one, plain.jobs[1])), tmp_path)
    assert ">mean regret<" in text
    assert 'title="95 % interval −0.001 to +0.006">+0.003<' in text


def test_every_figure_stands_with_its_caption(tmp_path: Path) -> None:
    for c in (budgets(), seeds({"competence": [0.63, 0.64], "mixture": [0.6, 0.61]}), search()):
        text, specs = page(c, tmp_path)
        found = [panel for section in sections(c) for panel in section.panels]
        assert {panel.key for panel in found} == set(specs)
        for panel in found:
            assert len(panel.caption) > 40
            assert panel.caption in text
            assert f'id="plot-{panel.key}"' in text
        for section in sections(c):
            assert f'href="#{section.key}"' in text
            assert f'id="{section.key}"' in text


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_names_cannot_break_out(name: str, tmp_path: Path) -> None:
    def hostile(c: Comparison) -> Comparison:
        jobs = [
            replace(
                j,
                asked={**{key: value + name for key, value in j.asked.items()}, name: j.job},
                reason=name,
                chosen=j.chosen and replace(j.chosen, experts=(*j.chosen.experts, name)),
            )
            for j in c.jobs
        ]
        return Comparison(name, (*jobs, lost(99, "failed", name, **{name: name})), search=c.search)

    for c in (budgets(), seeds({"competence": [0.63, 0.64], "mixture": [0.6, 0.61]}), search()):
        text = write_comparison(hostile(c), tmp_path / "a.html").read_text(encoding="utf-8")
        clean = write_comparison(c, tmp_path / "b.html").read_text(encoding="utf-8")
        assert name not in text
        assert text.count("</script>") == clean.count("</script>")
        specs = re.search(r'id="specs">(.*?)</script>', text, re.S)
        assert specs is not None
        # Plotly reads tags in the text of a figure.
        assert name not in json.dumps(json.loads(specs[1]), ensure_ascii=False)


def terminal(c: Comparison, width: int) -> str:
    """What a terminal of so many columns shows."""
    out = io.StringIO()
    print_comparison(c, Console(file=out, width=width, force_terminal=True, color_system=None))
    return out.getvalue()


def test_the_terminal_shows_the_best_of_many_and_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    c = seeds({f"o{i:02}": [0.6 + 0.001 * i] for i in range(40)})
    print_comparison(c, Console(width=100))
    out = capsys.readouterr().out
    assert "Comparison of 40 jobs" in out
    assert "o39" in out
    assert "o19" not in out
    assert "The 20 jobs with the lowest validation scores" in out
    assert out.strip().endswith(
        "Highest validation score, by 0.001 at one seed, which may be chance: objective=o39"
    )
    assert max(map(len, out.splitlines())) <= 100


def test_the_terminal_leaves_out_no_budget_for_its_score() -> None:
    jobs = tuple(
        job(i, validation_score=0.5 + 0.01 * i, asked={"budget.energy_j": f"{i}"}) for i in range(25)
    )
    out = terminal(Comparison("s", jobs), 100)
    shown = [line.split()[0] for line in out.splitlines() if "optimal" in line]
    assert shown == [str(i) for i in range(20)]
    assert "The last 5 jobs are left out here." in out


LONG = (
    {"expert_pool": "jetson_mix", "device@expert_pool.devices.orin_a": "agx_thor", "objective": "mixture"},
    {"expert_pool": "jetson_mix_fleet", "device@expert_pool.devices.orin_a": "agx_orin_64gb"},
)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("many", [False, True])
def test_the_terminals_table_breaks_no_word(width: int, many: bool) -> None:
    jobs = [
        job(
            i,
            asked={
                "budget": ("tight", "medium", "loose")[i // 2],
                "objective": ("competence", "mixture")[i % 2],
                **(
                    LONG[i % 2] | {"budget.latency_s": "{tutor: 30, assistant: 3, default: 10}"}
                    if many
                    else {}
                ),
                "seed": str(i // 3 if many else 0),
            },
        )
        for i in range(6)
    ]
    cut = lost(6, "interrupted", "…", budget="tight", objective="mixture", seed="0")
    c = Comparison("s", (*jobs, cut))
    lines = terminal(c, width).splitlines()
    assert max(map(len, lines)) <= width
    (head,) = (line for line in lines if "held out" in line)
    own = ["budget", "objective"] if width == 100 and not many else []
    assert re.split(r"\s{2,}", head.strip()) == [
        *("job", *own, "validation", "held out", "energy", "latency", "experts", "status")
    ]
    words = {word.strip(",") for line in lines for word in line.split()}
    for each in jobs:
        for key in c.varied:
            for word in each.asked[key].split() if own else f"{c.short[key]}={each.asked[key]}".split():
                assert word.strip(",") in words


@needs_browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_drawn_silent_and_accessible_in_a_browser(tmp_path: Path, width: int) -> None:
    sweeps = {
        "budgets": budgets(),
        "both": budgets_by_seeds({"tight": [0.52, 0.53], "loose": [0.63, 0.64]}),
        "seeds": seeds({"a": [0.6, 0.61], "b": [0.62, 0.6]}),
        "search": search(),
    }
    with running() as browser:
        for name, compared in sweeps.items():
            path = write_comparison(compared, tmp_path / f"{name}.html")
            with visit(browser, path, width=width, scheme="dark") as found:
                assert found.complaints == []
                assert found.requests == [path.as_uri()]
                assert serious(found.page) == []
                assert overlaps(found.page) == []
                assert found.page.evaluate("() => document.scrollingElement.scrollWidth") <= width
