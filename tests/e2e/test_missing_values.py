"""A value that is missing where train has none stops nothing: not a run, not the model pushed."""

import csv
import sys
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tests.e2e.workbench import Workbench, rows
from tfx_imbalance.pipeline import cli

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MakeWorkbench = Callable[..., Workbench]
N, TRAIN, VAL = 3_000, 2_100, 450
NAMES = ("age", "balance", "job", "region", "gone", "late", "when", "y")
AGE, BALANCE, JOB, REGION, GONE, LATE = range(6)
LIGHT = {
    "data": {"path": "data.csv", "label": "y", "positive": "yes", "order_by": "when"},
    "split": {"train": 0.7, "val": 0.15, "test": 0.15},
    "rebalance": {"method": "smote_nc", "sampling_strategy": 0.5},
    "train": {"mlp": {"epochs": 2, "hidden": [8], "batch_size": 256}},
    "gates": {"absolute": [{"metric": "auc", "min": 0.5}]},
}
"""Rows are split by `when`, so that a test knows which row is in which split."""


def table() -> list[list[object]]:
    """3,000 rows without a gap, in the order of their time; `late` has no value in train."""
    rng = np.random.default_rng(7)
    return [
        [*row[:4], int(rng.integers(0, 50)), "" if i < TRAIN else i % 5, 1_700_000_000 + i, row[4]]
        for i, row in enumerate(rows(N))
    ]


def with_gaps() -> list[list[object]]:
    """A number and a category in val, one in test, and a column of which test has no value."""
    made = table()
    made[TRAIN + 10][BALANCE] = ""
    made[TRAIN + 20][JOB] = ""
    made[N - 5][AGE] = ""
    for row in made[TRAIN + VAL :]:
        row[GONE] = ""
    return made


def write(bench: Workbench, content: list[list[object]]) -> None:
    with (bench.folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES, *content])


def run(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> int:
    """Through the command line."""
    monkeypatch.setattr(sys, "argv", ["tfx-imbalance", "run", str(bench.config_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def example(row: list[object], **changes: object) -> bytes:
    """A request; what is '' or None it does not have."""
    made = tf.train.Example()
    for name, value in {**dict(zip(NAMES[:-1], row, strict=False)), **changes}.items():
        feature = made.features.feature[name]
        if value in ("", None):
            del made.features.feature[name]
        elif isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return made.SerializeToString()


@pytest.fixture(scope="module")
def bench(make_workbench: MakeWorkbench) -> Workbench:
    bench = make_workbench(**LIGHT)
    write(bench, with_gaps())
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(bench, monkeypatch) == 0
    return bench


@pytest.fixture(scope="module")
def answers(bench: Workbench) -> Callable[[list[bytes]], np.ndarray]:
    """Probabilities of the pushed model."""
    (version,) = (bench.workspace / "serving").iterdir()
    model = tf.saved_model.load(str(version))
    signature = model.signatures["serving_default"]
    return lambda records: signature(examples=tf.constant(records))["probability"].numpy()


def test_gaps_outside_train_leave_every_row_scored(bench):
    counts = bench.summary["class_counts"]
    assert sum(counts["val"].values()) == VAL
    assert sum(counts["test"].values()) == N - TRAIN - VAL


@pytest.mark.parametrize("name", NAMES[:-1])
def test_the_pushed_model_scores_a_request_without_a_feature(answers, name):
    whole = [example(row) for row in table()[:3]]
    lacking = example(table()[0], **{name: None})
    (alone,) = answers([lacking])
    assert 0 <= alone <= 1
    np.testing.assert_allclose(answers([*whole, lacking]), [*answers(whole), alone], rtol=1e-6)


def test_a_missing_number_counts_as_trains_mean_where_train_had_no_gap(answers):
    row, train = table()[0], table()[:TRAIN]
    mean = float(np.mean([np.float32(row[BALANCE]) for row in train], dtype=np.float64))
    imputed, missing = answers([example(row, balance=mean), example(row, balance=None)])
    assert imputed == pytest.approx(missing, rel=1e-6)


def test_a_request_of_several_values_is_told_by_name(answers):
    bad = tf.train.Example.FromString(example(table()[0]))
    bad.features.feature["age"].int64_list.value.append(3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"several values.*age"):
        answers([bad.SerializeToString()])
