"""summary.json: its figures are the metrics module's, its text is strict JSON."""

import dataclasses
import json
import math
import os
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from tfx_imbalance.components import metrics
from tfx_imbalance.components.metrics import BINARY_METRICS, Scores
from tfx_imbalance.components.reporter import write
from tfx_imbalance.components.reporter.report import Summary
from tfx_imbalance.components.reporter.summary import RunInputs, summarize
from tfx_imbalance.components.reporter.write import write_run_report

RUNS = ("binary_run", "many_run", "blocked_run", "data_failed_run", "crashed_run")


def strict(text: str) -> dict:
    """Parses JSON as the standard has it: NaN and Infinity are no numbers."""

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("run", ["binary_run", "many_run"])
def test_metrics_are_those_of_the_metrics_module(run, request):
    inputs = request.getfixturevalue(run)
    summary = summarize(inputs)
    for split, scores in (("val", inputs.val()), ("test", inputs.test_scores)):
        expected = metrics.summary(scores)
        for name in BINARY_METRICS:
            value = getattr(summary.metrics[split], name)
            assert value == expected[name] or (value is None and math.isnan(expected[name]))
        for name, one in metrics.per_class(scores).items():
            for metric, figure in one.items():
                value = summary.metrics[split].per_class[name][metric]
                assert value == figure or (value is None and math.isnan(figure))


@pytest.mark.parametrize("run", RUNS)
def test_file_is_strict_json_that_its_schema_accepts_and_reads_back(run, request, tmp_path):
    summary = write_run_report(request.getfixturevalue(run), str(tmp_path))
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    jsonschema.validate(strict(text), Summary.model_json_schema())
    assert Summary.model_validate_json(text) == summary


def test_undefined_figures_are_null(binary_run, tmp_path):
    one_class = Scores(
        "test", np.zeros(3, np.int64), np.full((3, 2), 0.5), np.zeros(3, np.int64), np.ones(3),
        ["no", "yes"],
    )  # fmt: skip
    gating = binary_run.gating
    undefined = gating.results[0].model_copy(update={"value": math.nan, "bound": math.inf})
    sliced = gating.slices[1].model_copy(update={"metrics": {"auc": math.nan}})
    inputs = dataclasses.replace(
        binary_run,
        test_scores=one_class,
        gating=gating.model_copy(
            update={"results": [undefined], "slices": [gating.slices[0], sliced]}
        ),
    )
    write_run_report(inputs, str(tmp_path))
    found = strict((tmp_path / "summary.json").read_text())
    assert found["metrics"]["test"]["auc"] is None
    assert found["metrics"]["test"]["brier"] == 0.25
    assert found["gates"][0]["value"] is None
    assert found["gates"][0]["bound"] is None
    assert found["slices"]["job=admin."]["metrics"]["auc"] is None


def test_says_what_a_finished_run_is(binary_run):
    summary = summarize(binary_run)
    assert summary.blessed is True
    assert summary.threshold == 0.25
    assert summary.champion == "1764021600"
    assert summary.drift == "warn"
    assert summary.device == "CPU (2 cores)"
    assert summary.seed == 7
    assert summary.timings["Trainer"] == 24.0
    assert summary.cached == [
        "StratifiedExampleGen", "StatisticsGen", "ImbalanceDetector", "Transform",
    ]  # fmt: skip
    assert list(summary.class_counts) == ["train", "rebalanced", "val", "test"]
    assert summary.class_counts["rebalanced"] == binary_run.rebalancing.after
    assert list(summary.slices) == [s.slice for s in binary_run.gating.slices[1:]]
    assert "runs/bank/serving/1764028800" in summary.message


def test_without_rebalancing_there_are_no_rebalanced_counts(binary_run):
    summary = summarize(dataclasses.replace(binary_run, rebalancing=None))
    assert list(summary.class_counts) == ["train", "val", "test"]


def test_a_blocked_model_is_not_blessed(blocked_run):
    summary = summarize(blocked_run)
    assert summary.blessed is False
    assert summary.pushed_path is None


def test_a_run_that_stopped_early_says_why(data_failed_run, crashed_run):
    stopped = summarize(data_failed_run)
    assert stopped.blessed is None
    assert stopped.metrics == {}
    assert all(check.message in stopped.message for check in data_failed_run.imbalance.failed)
    crashed = summarize(crashed_run)
    assert (crashed.error.node, crashed.error.message) == crashed_run.error
    assert crashed.message == crashed_run.error[1]


def test_val_metrics_come_from_calibrators_report_where_its_scores_are_gone(binary_run):
    inputs = dataclasses.replace(binary_run, val_scores=None, test_scores=None)
    summary = summarize(inputs)
    assert summary.metrics["val"].auc_pr == binary_run.calibration.val_metrics["auc_pr"]
    assert "test" not in summary.metrics


def test_test_without_weight_has_no_metrics(binary_run):
    scores = dataclasses.replace(
        binary_run.test_scores, weights=np.zeros_like(binary_run.test_scores.weights)
    )
    summary = summarize(dataclasses.replace(binary_run, test_scores=scores))
    assert list(summary.metrics) == ["val"]


def test_files_appear_whole_or_not_at_all(crashed_run, tmp_path, monkeypatch):
    write_run_report(crashed_run, str(tmp_path / "new" / "folder"))
    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == ["report.html", "summary.json"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def broken(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "replace", broken)
    with pytest.raises(OSError, match="No space left"):
        write_run_report(dataclasses.replace(crashed_run, seed=1), str(folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_only_name_run_id_and_outcome_are_needed(tmp_path):
    inputs = RunInputs(name="bank", run_id="1", outcome="failed")
    assert write_run_report(inputs, str(tmp_path)).outcome == "failed"
