"""A whole pipeline with a search before training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.workbench import Workbench

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def newest(workspace: Path, node: str, key: str) -> Path:
    folders = (workspace / "artifacts" / node / key).iterdir()
    return max(folders, key=lambda folder: int(folder.name))


def report(bench: Workbench, node: str) -> dict:
    return json.loads((newest(bench.workspace, node, "report") / "report.json").read_text())


def test_trainer_takes_what_the_search_found(make_workbench: Callable[..., Workbench]) -> None:
    bench = make_workbench(
        rebalance={"method": "under", "sampling_strategy": 0.5},
        tune={
            "enabled": True,
            "trials": 3,
            "folds": 3,
            "space": {"mlp.hidden": [[16], [8]], "mlp.batch_size": [64], "mlp.bins": [0, 16]},
        },
    )
    bench.config["data"]["group_by"] = "balance"
    assert bench.run() == 0
    found = report(bench, "Tuner")
    assert len(found["trials"]) == 3
    assert found["grouped"]
    assert found["mean"]["auc_pr"] > 0.25
    rows = sum(n for fold in found["fold_counts"] for n in fold.values())
    train = report(bench, "ImbalanceDetector")["counts"]["train"]
    assert rows == sum(train.values())
    assert report(bench, "Trainer")["hyperparameters"] == found["hyperparameters"]
    tuning = bench.summary["tuning"]
    assert tuning["hyperparameters"] == found["hyperparameters"]
    assert tuning["mean"]["auc_pr"] == pytest.approx(found["mean"]["auc_pr"])
    page = (bench.workspace / "latest" / "report.html").read_text()
    assert "Search of hyperparameters" in page

    # One trial more: the fits that were done are not done again.
    bench.config["tune"]["trials"] = 4
    assert bench.run() == 0
    again = report(bench, "Tuner")
    assert again["trials"][:3] == found["trials"]
    assert again["resumed_folds"] == 3 * 3
    assert bench.cached["Transform"] and not bench.cached["Tuner"]
