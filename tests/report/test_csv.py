"""The CSV files hold what the rows hold, to the last digit."""

import csv
import errno
import math
import resource
from pathlib import Path

import pytest

from moe2_pl.files import replacing
from moe2_pl.planning import Results
from moe2_pl.report import write_baselines, write_frontier, write_frontier_by_category


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def same(text: str, value: float) -> bool:
    return float(text) == value or (math.isnan(float(text)) and math.isnan(value))


def test_frontier_has_one_line_a_budget_equal_to_its_row(data: Results, tmp_path: Path) -> None:
    rows = (*data.presets, *data.grid)
    lines = read(write_frontier(rows, tmp_path / "new" / "frontier.csv"))
    assert len(lines) == len(rows)
    assert {line["status"] for line in lines} == {"optimal", "gap", "infeasible"}
    budget = ("energy_budget_j", "latency_budget_s")
    own = ("planned", "gap", "score", "energy_j", "latency_s")
    baselines = ("best_single_score", "lookup_score", "lookup_on_subset_score", "family_oracle_score")
    figures = (*budget, *own, *baselines)
    for line, row in zip(lines, rows, strict=True):
        assert all(same(line[name], getattr(row, name)) for name in figures)
        assert [name for name in line["experts"].split(" + ") if name] == list(row.experts)
        assert [name for name in line["devices"].split(" + ") if name] == list(row.devices)
        assert same(line["max_utilisation"], max(row.utilisation.values(), default=math.nan))
        assert all(same(line[f"utilisation_{name}"], rho) for name, rho in row.utilisation.items())
        assert same(line["latency_low_s"], row.latency_range_s[0])
        assert line["overloaded"] == " + ".join(row.overloaded)


def test_a_device_left_off_is_idle_and_an_infeasible_budget_has_no_figures(
    data: Results, tmp_path: Path
) -> None:
    lines = read(write_frontier((*data.presets, *data.grid), tmp_path / "frontier.csv"))
    infeasible = next(line for line in lines if line["status"] == "infeasible")
    assert (infeasible["experts"], infeasible["score"], infeasible["utilisation_orin_a"]) == (
        "",
        "nan",
        "nan",
    )
    tight = lines[0]
    assert "orin_c" not in tight["devices"]
    assert float(tight["utilisation_orin_c"]) == 0


def test_categories_carry_their_own_limits_and_shares(data: Results, tmp_path: Path) -> None:
    rows = (*data.presets, *data.grid)
    lines = iter(read(write_frontier_by_category(rows, tmp_path / "by_category.csv")))
    for row in rows:
        for part in row.categories:
            line = next(lines)
            assert (line["budget"], line["category"]) == (row.budget, part.category)
            assert same(line["category_energy_budget_j"], part.energy_budget_j)
            assert same(line["score"], part.score)
            assert int(line["queries"]) == part.queries
            assert all(same(line[f"share_{name}"], share) for name, share in part.shares.items())
            shares = [float(value) for name, value in line.items() if name.startswith("share_")]
            assert sum(shares) == pytest.approx(1)
    assert next(lines, None) is None


def test_no_rows_leave_a_header(tmp_path: Path) -> None:
    assert "energy_budget_j,latency_budget_s" in write_frontier([], tmp_path / "a.csv").read_text()
    assert "category" in write_frontier_by_category([], tmp_path / "b.csv").read_text()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(data: Results, tmp_path: Path) -> None:
    path = write_frontier(data.presets, tmp_path / "frontier.csv")
    before = path.read_text()
    with pytest.raises(AttributeError):
        write_frontier_by_category([*data.presets, None], path)  # type: ignore[list-item]
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_baselines_have_one_line_each(data: Results, tmp_path: Path) -> None:
    lines = read(write_baselines(data.baselines, tmp_path / "baselines.csv"))
    assert [(line["baseline"], line["budget"]) for line in lines] == [
        (row.baseline, row.budget) for row in data.baselines
    ]
    assert all(same(line["score"], row.score) for line, row in zip(lines, data.baselines, strict=True))


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path, size: int) -> None:
    # A limit of file sizes stands for the full disk; the smaller text fails when the file is closed.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "frontier.csv"
    path.write_text("as it was")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as failed, replacing(path) as file:
            file.write("x" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.errno == errno.EFBIG
    assert failed.value.filename == str(path)
    assert path.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [path]
