"""The closing table: complete, plain where colour has no place, and never wider than 100 columns."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from moe2_pl.planning import FrontierRow, Results, StepRow
from moe2_pl.report import print_summary


def printed(data: Results, **console: object) -> str:
    out = io.StringIO()
    print_summary(data, Console(file=out, **console))  # type: ignore[arg-type]
    return out.getvalue()


def test_every_router_stands_with_its_figures_and_experts(data: Results) -> None:
    text = printed(data)
    for row in data.summary:
        line = next(line for line in text.splitlines() if line.strip().startswith(row.name))
        assert f"{row.score:.3f}" in line
        everything = set(row.experts) == set(data.experts)
        assert "all 9" in line if everything else all(name in text for name in row.experts)
    assert "proven optimal" in text or "of the bound" in text


@pytest.mark.parametrize("width", [80, 100, 240])
def test_it_fits_a_hundred_columns(data: Results, width: int) -> None:
    lines = printed(data, width=width, force_terminal=True, no_color=True, color_system=None).splitlines()
    assert max(map(len, lines)) <= min(width, 100)


def test_without_a_terminal_there_is_no_colour(data: Results) -> None:
    assert "\x1b" not in printed(data)
    assert "\x1b[" in printed(data, force_terminal=True, color_system="standard")


def test_overload_is_flagged_in_characters(data: Results) -> None:
    assert "1.02 !" in printed(data)
    loaded = [row.name for row in data.summary if row.utilisation >= 1]
    assert 0 < len(loaded) < len(data.summary)
    assert f"! ρ ≥ 1 in {'; '.join(loaded)}: a device gets" in " ".join(printed(data).split())
    calm = replace(data, summary=tuple(replace(row, utilisation=0.5) for row in data.summary))
    assert "!" not in printed(calm)


def test_an_infeasible_budget_is_said_to_be(data: Results, infeasible: FrontierRow) -> None:
    text = printed(replace(data, chosen=infeasible))
    assert "infeasible, no subset meets it" in text


def test_names_are_not_read_as_markup(data: Results) -> None:
    row = replace(data.summary[0], name="[bold]x[/]", experts=("[red]y",))
    text = printed(replace(data, summary=(row,)))
    assert "[bold]x[/]" in text
    assert "[red]y" in text


def test_what_the_budget_costs_is_said(data: Results) -> None:
    loss = data.contrasts[0].difference
    assert f"Against no budget −{-loss:.3f} (" in " ".join(printed(data).split())
    assert "Against no budget" not in printed(replace(data, contrasts=()))


def test_the_running_costs_and_the_next_steps_are_said(data: Results) -> None:
    text = " ".join(printed(data).split())
    watts = data.chosen.energy_j * 0.07
    assert f"At 0.07 queries/s that is {watts:.3g} W: {watts * 0.024:.3g} kWh" in text
    swapped = StepRow(
        "energy_j", 120.0, 0.012, ("newcomer", *data.chosen.experts[1:]), -0.002, 0.009, 1398.0, 5.1
    )
    text = " ".join(printed(replace(data, steps=(swapped,))).split())
    expected = f"would buy +0.012 of planned score, with newcomer instead of {data.chosen.experts[0]}."
    assert f"An energy limit 120 J a query higher {expected}" in text
    assert "Held out that is −0.002 (−0.011 to +0.007), at 1,398 J and 5.1 s a query." in text
    same = StepRow("latency_s", 1.5, 0.002, data.chosen.experts, 0.001, 0.009, 700.0, 9.9)
    left = StepRow("latency_s", 1.5, 0.002, data.chosen.experts[1:], 0.001, 0.009, 700.0, 9.9)
    text = " ".join(printed(replace(data, steps=(same,))).split())
    assert (
        "A latency limit 1.5 s a query higher would buy +0.002 of planned score, with the same experts"
        in text
    )
    text = " ".join(printed(replace(data, steps=(left,))).split())
    assert f"without {data.chosen.experts[0]}." in text


def test_a_limit_that_does_not_bind_is_named(data: Results) -> None:
    def said(*, unit: str = "score", **limits: float) -> str:
        parts = tuple(replace(part, **limits) for part in data.chosen.categories)
        chosen = replace(data.chosen, categories=parts)
        return " ".join(printed(replace(data, chosen=chosen, steps=(), planned_unit=unit)).split())

    for word in ("energy", "latency"):
        assert f"A higher {word} limit alone would buy less than 0.001: it is not what binds." in said()
    assert "A higher latency limit" not in said(latency_budget_s=math.inf)
    assert "A higher" not in said(unit="nats")  # steps of a mixture are not looked for


def test_what_can_be_left_out_is_said(data: Results) -> None:
    lean = next(row for row in data.contrasts if row.against == "leaner")
    text = " ".join(printed(data).split())
    assert f"A leaner deployment does without {data.chosen.experts[0]}: 601 J a query" in text
    assert f"for {-lean.difference:+.3f}".replace("-", "−") in text
    off = replace(lean, experts=tuple(e for e in data.chosen.experts if data.experts[e]["device"] != "rtx_a"))
    text = " ".join(printed(replace(data, contrasts=(off,))).split())
    assert "does without rtx_a (llama-3.1-8b, qwen2.5-7b):" in text
    assert "leaner" not in printed(replace(data, contrasts=()))


def test_what_load_does_is_said(data: Results) -> None:
    text = " ".join(printed(data).split())
    busiest = max(data.chosen.utilisation.values())
    assert f"It breaks at {0.07 / busiest:.3g} queries/s" in text
    assert "At 0.07 an answer takes 5.25 s on average, waiting included, and 95 % take at most 14 s" in text
    assert "charges" not in text
    priced = replace(data.chosen, prices={"orin_a": 0.0123}, load_loss=0.004)
    text = " ".join(printed(replace(data, chosen=priced)).split())
    assert "in score a second: orin_a 0.012; that changes the held-out score by −0.004" in text
    assert "breaks" not in printed(replace(data, load=()))


def test_how_far_the_latency_may_be_off_is_said_where_it_is_known(data: Results) -> None:
    assert "As published speeds vary" not in printed(data)
    known = replace(data, chosen=replace(data.chosen, latency_range_s=(3.21, 6.54)))
    assert "As published speeds vary, the mean latency is 3.21 to 6.54 s." in " ".join(printed(known).split())
