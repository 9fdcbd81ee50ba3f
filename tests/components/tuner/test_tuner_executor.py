"""The whole node with the MLP, and Trainer taking what it found."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from tests.components.trainer.conftest import (
    CLASSES,
    Data,
    data,  # noqa: F401
    example,
    write_records,
)
from tests.components.trainer.test_trainer_executor import imbalance
from tfx_imbalance import Tuner, artifacts
from tfx_imbalance.components import progress
from tfx_imbalance.components.artifact_io import read_report, write_report
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.hashing import copy_ids
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.trainer.input import model_features, read_rows
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams
from tfx_imbalance.components.trainer.report import RUN_FILE, LearnerRun
from tfx_imbalance.components.trainer.run_fn import run_fn
from tfx_imbalance.components.tuner import reading
from tfx_imbalance.components.tuner.executor import BEST_FILE, Executor
from tfx_imbalance.components.tuner.folds import row_units
from tfx_imbalance.components.tuner.params import TunerParams
from tfx_imbalance.components.tuner.report import Tuning

TRAINER = TrainerParams(label="y", weight="w", seed=3, mlp=MlpParams(hidden=(8,), epochs=2, bins=4))
SPACE = {
    "mlp.hidden": [[8], [16, 8]],
    "mlp.bins": [4],
    "mlp.batch_size": [64],
    "mlp.dropout": {"min": 0.0, "max": 0.3},
    "mlp.learning_rate": {"min": 1e-3, "max": 1e-2, "log": True},
    "mlp.weight_decay": [1e-4],
}


def artifact(kind, uri: Path, splits=None):
    made = kind()
    made.uri = str(uri)
    if splits:
        made.split_names = artifact_utils.encode_split_names(splits)
    return made


class Node:
    """Tuner in a folder."""

    def __init__(self, data: Data, root: Path, **options) -> None:  # noqa: F811
        self.params = TunerParams(trainer=TRAINER, **{"space": SPACE, "folds": 3, **options})
        self.root, self.inputs, self.n = root, {}, 0
        report = artifact(artifacts.ImbalanceReport, root / "imbalance")
        self.inputs = {
            "examples": [artifact(standard_artifacts.Examples, data.transformed, ["train", "val"])],
            "transform_graph": [artifact(standard_artifacts.TransformGraph, data.graph)],
            "imbalance_report": [report],
        }
        write_report(self.inputs, "imbalance_report", imbalance(data))

    def run(self) -> Tuning:
        self.n += 1
        self.outputs = {
            "best_hyperparameters": [
                artifact(standard_artifacts.HyperParameters, self.root / "Tuner/best" / str(self.n))
            ],
            "report": [artifact(artifacts.TuningReport, self.root / "Tuner/report" / str(self.n))],
        }
        properties = {"params": self.params.to_property(), "code_fingerprint": "abc"}
        Executor().Do(self.inputs, self.outputs, properties)
        return read_report(self.outputs, "report", Tuning)

    @property
    def best(self) -> dict:
        return json.loads(
            (Path(self.outputs["best_hyperparameters"][0].uri) / BEST_FILE).read_text()
        )


def test_it_finds_hyperparameters_that_trainer_takes(data: Data, tmp_path: Path) -> None:  # noqa: F811
    rebalance = RebalanceParams(method="smote_nc")
    node = Node(data, tmp_path, trials=2, folds=2, rebalance=rebalance)
    said: list[str] = []
    with progress.shown_by(said.append):
        found = node.run()
    assert [line.split("  ")[0] for line in said] == ["trial 1/2", "trial 2/2"]
    assert len(found.trials) == 2
    assert 0.2 < found.mean["auc_pr"] < 1
    assert found.std["auc_pr"] > 0
    counts = [list(fold.values()) for fold in found.fold_counts]
    assert np.ptp(counts, axis=0).max() <= 1
    # Each learner saw as many rows of one class as of the other.
    largest = [sum(c[0] for c in counts) - c[0] for c in counts]
    assert [fold.rows for fold in found.trials[0].folds] == [2 * n for n in largest]

    assert node.best["values"].keys() == set(SPACE)
    out = tmp_path / "trained"
    arguments = FnArgs(
        transform_graph_path=str(data.graph),
        train_files=data.patterns("train"),
        eval_files=data.patterns("val"),
        model_run_dir=str(out),
        serving_model_dir=str(out / "model"),
        hyperparameters=node.best,
        custom_config={
            "params": TRAINER.to_property(),
            "classes": list(CLASSES),
            "class_weights": {0: 1.0, 1: 1.0},
        },
    )
    out.mkdir()
    run_fn(arguments)
    told = LearnerRun.model_validate_json((out / RUN_FILE).read_text())
    assert told.hyperparameters == found.hyperparameters

    # Run again, the fits of the first run are taken as they were.
    again = node.run()
    assert again.resumed_folds == sum(len(t.folds) for t in found.trials)
    assert again.model_copy(update={"resumed_folds": 0}) == found


@pytest.mark.usefixtures("fake")
def test_nested_is_told_and_groups_share_folds(data: Data, tmp_path: Path) -> None:  # noqa: F811
    records = [
        example({"_row_id": row["_row_id"], "_group_id": i // 4})
        for i, row in enumerate(data.rows["train"])
    ]
    write_records(tmp_path / "raw" / "Split-train" / "data-0.gz", records)
    space = {**SPACE, "mlp.dropout": [0.1], "mlp.learning_rate": [1e-3, 1e-2], "mlp.hidden": [[8]]}
    node = Node(data, tmp_path, trials=2, folds=2, nested=True, space=space)
    node.inputs["raw_examples"] = [
        artifact(standard_artifacts.Examples, tmp_path / "raw", ["train"])
    ]
    found = node.run()
    assert found.grouped
    assert found.nested is not None
    assert len(found.nested.folds) == 2
    assert set(found.nested.mean) == set(found.mean)
    node.inputs["raw_examples"] = [artifact(standard_artifacts.Examples, data.raw, ["train"])]
    with pytest.raises(UserError, match="some rows of train have no '_group_id'"):
        node.run()


def test_identities_are_in_the_order_of_the_rows(data: Data) -> None:  # noqa: F811
    features = model_features(data.transform, "y", "w")
    rows = read_rows(
        data.patterns("train"), data.transform, features, label="y", classes=CLASSES, weight="w"
    )
    files = sorted(map(str, (data.transformed / "Split-train").iterdir()))
    ids = reading.identities(files, rows, "y", CLASSES, True)
    by_id = {row["_row_id"]: row for row in data.rows["train"]}
    assert [by_id[i]["y"] for i in ids.tolist()] == [CLASSES[k] for k in rows.labels]
    np.testing.assert_array_equal([by_id[i]["w"] for i in ids.tolist()], rows.weights)
    hashed = reading.identities(files, rows, "y", CLASSES, False)
    assert len(set(hashed.tolist())) == len(rows)


def test_copies_part_in_folds_where_the_split_let_them(tmp_path: Path) -> None:
    """100 rows of two kinds, 20 of them in two groups: units are rows, and the groups."""
    labels = np.arange(100) % 5 == 0
    raw = [
        {"_row_id": i % 2, "_row_copy": i // 2, "y": CLASSES[int(labels[i])]} for i in range(100)
    ]
    write_records(tmp_path / "data-0.gz", [example(row) for row in raw])
    files = [str(tmp_path / "data-0.gz")]
    order = np.lexsort((labels, np.arange(100) // 2, np.arange(100) % 2))
    rows = SimpleNamespace(labels=labels[order].astype(int))
    together = reading.identities(files, rows, "y", CLASSES, True)
    assert sorted(set(together.tolist())) == [0, 1]
    ids = reading.identities(files, rows, "y", CLASSES, True, apart=True)
    assert len(set(ids.tolist())) == 100
    own = [copy_ids(np.array([i % 2]), np.array([i // 2]))[0] for i in range(100)]
    assert ids.tolist() == [own[i] for i in order]

    groups = [i if i >= 20 else i % 2 for i in range(100)]
    grouped = [{**row, "_group_id": g} for row, g in zip(raw, groups, strict=True)]
    write_records(tmp_path / "raw.gz", [example(row) for row in grouped])
    known = reading.groups([str(tmp_path / "raw.gz")], apart=True)
    assert len(set(row_units(ids, known).tolist())) == 82
    assert len(set(row_units(together, reading.groups([str(tmp_path / "raw.gz")])))) == 2


def test_a_rare_class_is_told_in_one_line(data: Data, tmp_path: Path) -> None:  # noqa: F811
    node = Node(data, tmp_path, folds=50, trials=1)
    node.inputs["examples"][0].uri = str(tmp_path / "few")
    rows = [row for row in data.rows["train"] if row["y"] == "no"][:60]
    few = [*rows, *[row for row in data.rows["train"] if row["y"] == "yes"][:4]]
    columns = {"age": 0.0, "color": 1, "income": 0.0, "income_missing": 0}
    transformed = [
        example({**columns, **{name: row[name] for name in ("y", "w", "_row_id")}}) for row in few
    ]
    for split in ("train", "val"):
        write_records(tmp_path / "few" / f"Split-{split}" / "data-0.gz", transformed)
    with pytest.raises(UserError, match="found 50, but class 'yes' has 4 different") as caught:
        node.run()
    assert "\n" not in str(caught.value)


def test_the_groups_are_an_optional_input() -> None:
    node = Tuner(
        examples=channel_utils.as_channel([standard_artifacts.Examples()]),
        transform_graph=channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        imbalance_report=channel_utils.as_channel([artifacts.ImbalanceReport()]),
        params=TunerParams(trainer=TRAINER),
    )
    assert "raw_examples" not in node.inputs
    assert node.outputs["best_hyperparameters"].type is standard_artifacts.HyperParameters
    assert TunerParams.from_property(node.exec_properties["params"]).trainer == TRAINER
