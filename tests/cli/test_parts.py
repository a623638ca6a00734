"""What each part of a deployment adds, and what can be left out of it, on the main job's gate."""

import numpy as np
import pytest
from tests.cli.conftest import MainJob, read, setting_of

from moe2_pl.planning import ContrastRow, Results, results_of


def found(main_job: MainJob, *overrides: str) -> Results:
    setting, gate, settings = setting_of(main_job, *overrides)
    return results_of(setting, gate, settings["solver"])


def leaner(data: Results) -> ContrastRow:
    return next(row for row in data.contrasts if row.against == "leaner")


def forbidding(data: Results, experts: tuple[str, ...]) -> str:
    return f"expert_pool.excluded=[{','.join(name for name in data.experts if name not in experts)}]"


@pytest.fixture(scope="module")
def medium(main_job: MainJob) -> Results:
    return found(main_job, "budget=medium")


def test_every_device_and_every_expert_that_shares_one_has_a_row(medium: Results):
    row, without = medium.chosen, [part for part in medium.parts if part.change == "without"]
    assert [part.devices for part in without if part.whole][: len(row.devices)] == [(d,) for d in row.devices]
    assert [part.devices for part in without if len(part.devices) > 1] == [("orin_c", "orin_a")]
    without = [part for part in without if len(part.devices) == 1]
    several = [part.experts for part in without if part.whole and len(part.experts) > 1]
    assert [part.experts for part in without if not part.whole] == [(e,) for on in several for e in on]
    assert sorted(e for part in without if part.whole for e in part.experts) == sorted(row.experts)


@pytest.mark.parametrize("at", [0, 5, 7])
def test_a_row_is_what_the_rest_alone_would_come_to(main_job: MainJob, medium: Results, at: int):
    part, row = medium.parts[at], medium.chosen
    rest = tuple(name for name in row.experts if name not in part.experts)
    budget = f"budget.energy_j={row.energy_budget_j}", f"budget.latency_s={row.latency_budget_s}"
    required = f"expert_pool.required=[{','.join(rest)}]"
    alone = found(main_job, *budget, forbidding(medium, rest), required).chosen
    assert alone.experts == rest
    assert part.difference == pytest.approx(alone.score - row.score)
    assert part.energy_j == pytest.approx(alone.energy_j - row.energy_j)
    assert part.latency_s == pytest.approx(alone.latency_s - row.latency_s)
    assert 0 < part.half_width < row.score_half_width  # paired, on the same queries


def test_a_part_that_alone_serves_a_category_says_which(main_job: MainJob):
    data = found(main_job, "budget=tight")
    row, part = data.chosen, next(p for p in data.parts if p.unserved and p.change == "without")
    assert np.isnan(part.difference)
    for category in row.categories:
        others = set(category.allowed) - set(part.experts)
        assert (category.category in part.unserved) == (not others)


def test_the_leaner_deployment_saves_joules_and_validation_cannot_tell(medium: Results):
    lean, row = leaner(medium), medium.chosen
    assert set(lean.experts) < set(row.experts)
    assert lean.energy_j < 0.9 * row.energy_j
    gone = set(row.experts) - set(lean.experts)
    (part,) = (part for part in medium.parts if part.whole and set(part.experts) == gone)
    assert lean.difference == pytest.approx(-part.difference)


def test_held_out_scores_do_not_choose_the_leaner_deployment(main_job: MainJob, medium: Results):
    setting, gate, settings = setting_of(main_job, "budget=medium")
    # Were they read, every expert but one would be worth nothing.
    test = setting.data.split.test
    setting.outputs.score[test] = 0.0
    setting.outputs.score[test, 0] = 1.0
    blind = results_of(setting, gate, settings["solver"])
    assert leaner(blind).experts == leaner(medium).experts
    assert blind.validation_score == medium.validation_score


def test_what_the_configuration_requires_stays(main_job: MainJob, medium: Results):
    (gone,) = set(medium.chosen.experts) - set(leaner(medium).experts)
    data = found(main_job, "budget=medium", f"expert_pool.required=[{gone}]")
    assert gone in data.chosen.experts
    assert all(gone in row.experts for row in data.contrasts if row.against == "leaner")
    assert [part.experts for part in data.parts if part.required] == [(gone,)]


def test_nothing_can_be_left_out_of_one_expert(main_job: MainJob):
    data = found(main_job, "expert_pool.max_experts=1")
    assert {(part.change, part.room) for part in data.parts} == {("with", False)}
    assert not [row for row in data.contrasts if row.against == "leaner"]


def test_an_expert_that_is_left_out_says_what_it_would_take(main_job: MainJob, medium: Results):
    rows = {part.experts[0]: part for part in medium.parts if part.change == "with"}
    assert set(rows) == set(medium.experts) - set(medium.chosen.experts)
    # A desktop idles at 70 W, at .07 queries a second 1,000 J a query, and the limit is 1,260 J.
    assert [part.idle_j for part in rows.values()] == pytest.approx([1000.0] * len(rows))
    assert all(part.unserved for part in rows.values())
    loose = found(main_job, "budget=unlimited", "expert_pool.max_experts=9")
    (part,) = (part for part in loose.parts if part.change == "with")
    assert (part.room, part.unserved, part.idle_j) == (True, (), 0.0)
    everything = found(
        main_job, "budget=unlimited", f"expert_pool.required=[{','.join(loose.experts)}]"
    ).chosen
    assert part.difference == pytest.approx(everything.score - loose.chosen.score)


def test_the_full_pool_is_said_to_hold_what_is_excluded(main_job: MainJob, medium: Results):
    data = found(main_job, "expert_pool.excluded=[chatqa-70b]")
    assert [row.name for row in data.summary if "excluded" in row.note] == ["MoE², full pool"]
    assert not any(row.note for row in medium.summary)


def test_what_saves_nothing_is_not_called_leaner(main_job: MainJob):
    """There one of two experts of a box could go, for more joules."""
    data = found(main_job, "budget.energy_j=1538", "budget.latency_s=20.8")
    for row in data.contrasts:
        assert row.against != "leaner" or row.energy_j < 0.995 * data.chosen.energy_j


def test_a_step_is_what_its_budget_comes_to(main_job: MainJob, medium: Results):
    row, step = medium.chosen, medium.steps[0]
    assert step.limit == "energy_j"
    budget = f"budget.energy_j={row.energy_budget_j + step.more}", f"budget.latency_s={row.latency_budget_s}"
    there = found(main_job, *budget).chosen
    assert there.experts == step.experts
    assert step.difference == pytest.approx(there.score - row.score)
    assert (step.energy_j, step.latency_s) == pytest.approx((there.energy_j, there.latency_s))


def test_who_is_kept_out_of_a_category_is_above_its_limit(medium: Results):
    kept_out = 0
    for part in medium.chosen.categories:
        assert set(part.kept_out) == set(medium.chosen.experts) - set(part.allowed)
        for energy_j, latency_s in part.kept_out.values():
            assert energy_j > part.energy_budget_j or latency_s > part.latency_budget_s
        kept_out += len(part.kept_out)
    assert kept_out > 0


def test_the_parts_are_in_the_run_folder(main_job: MainJob, medium: Results):
    lines = read(main_job.folder / "parts.csv")
    assert [line["devices"] for line in lines] == [" + ".join(part.devices) for part in medium.parts]
    assert [float(line["difference"]) for line in lines] == pytest.approx(
        [p.difference for p in medium.parts], nan_ok=True
    )
    assert "A leaner deployment does without" in " ".join(main_job.stdout.split())
