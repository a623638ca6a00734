"""The W&B dashboard of MoE² runs, as code: creates it, or prints its definition where nobody is logged in.

    python -m moe2_pl.report.workspace --entity my-team --project moe2-pl
    python -m moe2_pl.report.workspace --group '2026-01-31 12-30-00-multirun'

All panels compare the runs that are ticked at the left. Needs wandb-workspaces: pip install 'moe2-pl[dashboard]'.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from moe2_pl.errors import ConfigError, exit_status

__all__ = ["dashboard", "main"]

_CATEGORIES = ("assistant", "tutor", "coder", "puzzles")  # of jetson_mix
_BASELINES = ("best_single_score", "lookup_score", "score", "family_oracle_score")
_TABLES = ("summary", "frontier", "categories", "routing", "baselines", "parts", "calibration", "certificate")
_COLUMNS = (
    "run:displayName",
    "run:group",
    "config:objective.name",
    "config:seed",
    "summary:chosen/budget",
    "summary:chosen/score",
    "summary:chosen/energy_j",
    "summary:chosen/latency_s",
    "summary:certificate/mean_regret",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _create(options), "interrupted")


def dashboard(
    entity: str, project: str, categories: Sequence[str] = _CATEGORIES, group: str | None = None
) -> Any:
    """The dashboard as a ``wandb_workspaces.workspaces.Workspace``, not yet saved.

    Args:
        entity: user or team that owns the project.
        project: its name.
        categories: applications whose scores are drawn one by one.
        group: of the runs to show, as one multirun is; None for all.

    Raises:
        ConfigError: wandb-workspaces is not installed.
    """
    try:
        ws: Any = import_module("wandb_workspaces.workspaces")
    except ImportError as error:
        raise ConfigError(
            "wandb-workspaces is not installed: pip install 'moe2-pl[dashboard]', or pip install wandb-workspaces"
        ) from error

    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"MoE2 frontier, {group}" if group else "MoE2 frontier",  # W&B refuses ² in names
        sections=_sections(ws, categories),
        settings=ws.WorkspaceSettings(max_runs=50),
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == group] if group else [], pinned_columns=[*_COLUMNS]
        ),
    )


def _sections(ws: Any, categories: Sequence[str]) -> list[Any]:
    wr: Any = import_module("wandb_workspaces.reports.v2")

    def bars(title: str, *metrics: str) -> Any:
        return wr.BarPlot(title=title, metrics=[*metrics], max_runs_to_show=50)

    def against(title: str, x: str, y: str) -> Any:
        return wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y))

    def curve(title: str, x: str, title_x: str, title_y: str, *y: str) -> Any:
        return wr.LinePlot(
            title=title,
            x=x,
            y=[*y],
            title_x=title_x,
            title_y=title_y,
            smoothing_type="none",
            max_runs_to_show=50,
        )

    def charts(*keys: str) -> list[Any]:
        return [wr.MediaBrowser(title=key, media_keys=[f"figures/{key}"], num_columns=1) for key in keys]

    def by_energy(title: str, *names: str) -> Any:
        metrics = [f"frontier/{name}" for name in names]
        return curve(
            title, "frontier/energy_budget_j", "energy budget (J per query)", "held-out score", *metrics
        )

    wide = ws.SectionLayoutSettings(columns=2, rows=2)
    sections = {
        "Frontier: what a budget buys": [
            by_energy("Score by energy budget, at the chosen latency", "score"),
            by_energy("The same beside the baselines", *_BASELINES),
            against("Score by energy budget, one mark a run", "chosen/energy_budget_j", "chosen/score"),
            against("Score by mean energy, one mark a run", "chosen/energy_j", "chosen/score"),
            *charts("frontier", "map"),
        ],
        "The chosen deployment": [
            bars("Held-out score", *(f"chosen/{name}" for name in _BASELINES)),
            bars("Mean energy (J per query)", "chosen/energy_j"),
            bars("Mean latency (s per query)", "chosen/latency_s"),
            bars("Largest utilisation: 1 or more is overloaded", "chosen/max_utilisation"),
            *charts("routing_flow", "experts", "routing", "utilisation", "load"),
        ],
        "Applications": [
            *(
                bars(f"{name}: held-out score", f"category/{name}/score", f"category/{name}/lookup_score")
                for name in categories
            ),
            *charts("categories", "baselines"),
        ],
        "Can it be believed?": [
            bars("Mean regret of not retraining", "certificate/mean_regret"),
            bars("Distance of predicted and realised scores", "calibration/mean_distance"),
            *charts("calibration", "certificate"),
        ],
        "Training": [
            curve("Loss", "epoch", "epoch", "loss", "train/loss", "val/loss"),
            curve("Score of the full pool on validation", "epoch", "epoch", "score", "val/score"),
            curve("Share of the forest", "epoch", "epoch", "share", "val/fitted_share"),
        ],
        "Tables": [wr.WeavePanelSummaryTable(table_name=f"tables/{name}") for name in _TABLES],
        "Differences between the runs": [wr.RunComparer(diff_only=True)],
    }
    return [
        ws.Section(name=name, panels=panels, is_open=at < 3, layout_settings=wide)
        for at, (name, panels) in enumerate(sections.items())
    ]


def _create(options: argparse.Namespace) -> None:
    """Saves the dashboard for whoever is logged in, or prints what would be saved."""
    import wandb

    wandb.setup(wandb.Settings(silent=True))
    workspace = dashboard(options.entity or "", options.project, options.categories, options.group)
    try:
        if not wandb.login(prompt=False):
            print(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True, indent=1))
            print(
                "not logged in: this is its definition; wandb login, then again, creates it", file=sys.stderr
            )
            return
        workspace.entity = options.entity or wandb.Api().default_entity or ""
        workspace.save()
        print(f"dashboard: {workspace.url}")
    except wandb.Error as error:
        raise ConfigError(f"W&B took no dashboard for {options.project}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moe2_pl.report.workspace",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--entity", help="user or team that owns the project (default: yours)")
    parser.add_argument("--project", default="moe2-pl", help="logger.wandb.project of the runs (moe2-pl)")
    parser.add_argument("--group", help="show the runs of one group only, as those of one multirun")
    parser.add_argument(
        "--categories",
        nargs="+",
        default=_CATEGORIES,
        metavar="NAME",
        help=f"applications of the pool ({' '.join(_CATEGORIES)})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
