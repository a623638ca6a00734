"""A real offline W&B run holds the metrics, the tables and the charts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.wandb_files import records

from moe2_pl.report import ReportData, log_to_wandb


@pytest.fixture
def offline(data: ReportData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import wandb

    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    run = wandb.init(project="report", mode="offline", dir=tmp_path, settings=wandb.Settings(console="off"))
    log_to_wandb(run, data)
    run.finish()
    wandb.teardown()  # finish returns before an offline run's file is whole; this waits for it
    return tmp_path


def test_an_offline_run_holds_metrics_tables_and_charts(offline: Path, data: ReportData) -> None:
    history: dict[str, Any] = {}
    for record in records(offline):
        for item in record.history.item:
            history["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
    assert history["chosen/score"] == pytest.approx(data.chosen.score)
    assert history["tight/energy_j"] == pytest.approx(data.presets[0].energy_j)
    assert history["chosen/status"] == data.chosen.status

    (folder,) = offline.rglob("files")
    table = json.loads((folder / history["frontier/path"]).read_text())
    scores = [line[table["columns"].index("score")] for line in table["data"]]
    assert len(scores) == 1 + len(data.presets) + len(data.grid)
    assert scores[0] == pytest.approx(data.chosen.score)

    closing = json.loads((folder / history["summary_table/path"]).read_text())
    assert [line[0] for line in closing["data"]] == [row.name for row in data.summary]

    chart = json.loads((folder / history["figures/frontier/path"]).read_text())
    assert {"MoE²", "lookup"} <= {trace.get("name") for trace in chart["data"]}
