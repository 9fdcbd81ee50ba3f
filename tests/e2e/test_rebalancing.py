"""Whole pipelines with methods of several sorts: what Rebalancer wrote, and a pushed model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from tests.e2e.workbench import Workbench
from tfx_imbalance.components.names import ROW_ID, SYNTHETIC_BASE, SYNTHETIC_NEIGHBOR, TEST, VAL

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def newest(workspace: Path, node: str, key: str) -> Path:
    folders = (workspace / "artifacts" / node / key).iterdir()
    return max(folders, key=lambda folder: int(folder.name))


def examples(artifact: Path, split: str) -> list[dict[str, list]]:
    found = []
    for path in sorted((artifact / f"Split-{split}").glob("*")):
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            found.append(
                {k: list(getattr(v, v.WhichOneof("kind")).value) for k, v in features.items()}
            )
    return found


def report(bench: Workbench) -> dict:
    folder = newest(bench.workspace, "Rebalancer", "report")
    return json.loads((folder / "report.json").read_text())


def test_synthetic_rows_come_from_train_alone_and_outliers_are_told(
    make_workbench: Callable[..., Workbench],
) -> None:
    bench = make_workbench(
        rebalance={"method": "smote_nc", "provenance": True, "outliers": {"method": "robust"}}
    )
    assert bench.run() == 0
    written = newest(bench.workspace, "Rebalancer", "examples")
    train = examples(written, "train")
    synthetic = [row for row in train if SYNTHETIC_BASE in row]
    real = {row[ROW_ID][0] for row in train if SYNTHETIC_BASE not in row}
    raw = newest(bench.workspace, "StratifiedExampleGen", "examples")
    held_out = {row[ROW_ID][0] for split in (VAL, TEST) for row in examples(raw, split)}
    assert len(synthetic) == report(bench)["synthetic"]["yes"] > 100
    for row in synthetic:
        parents = {row[SYNTHETIC_BASE][0], row[SYNTHETIC_NEIGHBOR][0]}
        assert parents <= real
        assert not parents & held_out
    assert report(bench)["outliers"]["classes"]["no"]["rows"] > 1000
    assert "outlier" in (bench.workspace / "latest" / "report.html").read_text().lower()


def test_weights_of_kept_rows_leave_the_prior_as_it_was(
    make_workbench: Callable[..., Workbench],
) -> None:
    bench = make_workbench(rebalance={"method": "downsample_upweight", "sampling_strategy": 0.8})
    assert bench.run() == 0
    found = report(bench)
    assert found["kind"] == "none"
    assert found["factors"] == pytest.approx({"no": 1, "yes": 1})
    assert found["after"]["no"] < found["before"]["no"] / 2
    assert bench.summary["metrics"][TEST]["ece"] < 0.08


def test_a_sampler_of_imbalanced_learn_by_name(make_workbench: Callable[..., Workbench]) -> None:
    bench = make_workbench(rebalance={"sampler": "imblearn.combine.SMOTEENN"})
    bench.config["data"]["exclude"] = ["job", "region"]
    assert bench.run() == 0
    found = report(bench)
    assert found["kind"] == "approximate"
    assert found["synthetic"]["yes"] > 0
    assert found["kept"]["no"] < found["before"]["no"]
