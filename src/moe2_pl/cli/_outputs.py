"""The files of a run folder: written at the end, all from the same figures."""

from pathlib import Path

from moe2_pl.cli._interrupts import not_lost
from moe2_pl.report import (
    ReportData,
    print_summary,
    write_baselines,
    write_certificate,
    write_frontier,
    write_frontier_by_category,
    write_report,
)

__all__ = ["write_results"]


def write_results(data: ReportData, folder: Path, *, brief: bool = False) -> None:
    """Write the CSV files and report.html, and print the closing table; of one job among many one line, ``brief``.

    Raises:
        KeyboardInterrupt: once all is written, if that or the evaluation was interrupted.
    """
    interrupts: list[str] = []
    report = not_lost(lambda: _written(data, folder), lambda: interrupts.append("writing"))
    if brief:
        row = data.chosen
        print(
            f"score {row.score:.3f}, {row.energy_j:,.0f} J, {row.latency_s:.3g} s, {len(row.experts)} experts: {report}"
        )
    else:
        print_summary(data)
        print(f"report: {report}")
    if data.partial or interrupts:
        raise KeyboardInterrupt


def _written(data: ReportData, folder: Path) -> Path:
    rows = [data.chosen, *(r for r in data.presets if r is not data.chosen), *data.grid]
    write_frontier(rows, folder / "frontier.csv")
    write_frontier_by_category(rows, folder / "frontier_by_category.csv")
    write_baselines(data.baselines, folder / "baselines.csv")
    if data.certificate is not None:
        write_certificate(data.certificate, folder / "certificate.csv")
    return write_report(data, folder / "report.html")
