import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import json_utils, proto_utils

from tfx_imbalance import artifacts
from tfx_imbalance.components import progress
from tfx_imbalance.components.artifact_io import read_report, write_report
from tfx_imbalance.components.class_weights import ClassWeightParams
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.imbalance_detector.report import Imbalance, Recommendation
from tfx_imbalance.components.rebalancer.report import Rebalancing
from tfx_imbalance.components.trainer.component import OUR_RUN_FN
from tfx_imbalance.components.trainer.executor import Executor
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams
from tfx_imbalance.components.trainer.report import Training

CLASSES = ("no", "yes")
FAST = MlpParams(hidden=(8,), epochs=2, bins=4)
BALANCED = ClassWeightParams(scheme="balanced")


def counts(data, split="train") -> dict[str, int]:
    labels = [row["y"] for row in data.rows[split]]
    return {name: labels.count(name) for name in CLASSES}


def imbalance(data) -> Imbalance:
    return Imbalance(
        label="y",
        classes=list(CLASSES),
        positive="yes",
        counts={split: counts(data, split) for split in data.rows},
        unlabelled={},
        majority="no",
        minority="yes",
        minority_share=0.2,
        imbalance_ratio=4.0,
        normalized_entropy=0.7,
        severity="mild",
        prior_shift={},
        slices=[],
        class_weights={},
        suggested_class_weights={},
        anomalies={},
        checks=[],
        recommendation=Recommendation(technique="none", reasons=[]),
    )


def rebalancing(before: dict[str, int], after: dict[str, int]) -> Rebalancing:
    return Rebalancing(
        method="over",
        sampling_strategy="auto",
        seed=0,
        before=before,
        after=after,
        kept=before,
        duplicated={k: after[k] - before[k] for k in before},
        synthetic=dict.fromkeys(before, 0),
        weights=dict.fromkeys(before, 1.0),
        recall={},
        factors={k: after[k] / before[k] for k in before},
        kind="prior_only",
        row_identity="feature",
    )


class Run:
    """One execution of Trainer in `root`."""

    def __init__(self, data, root: Path, params: TrainerParams, graph: bool = True) -> None:
        examples = standard_artifacts.Examples()
        examples.uri = str(data.transformed)
        examples.split_names = artifact_utils.encode_split_names(["train", "val"])
        self.inputs = {"examples": [examples]}
        if graph:
            self.inputs["transform_graph"] = [standard_artifacts.TransformGraph()]
            self.inputs["transform_graph"][0].uri = str(data.graph)
        self.outputs = {
            "model": [standard_artifacts.Model()],
            "model_run": [standard_artifacts.ModelRun()],
            "report": [artifacts.TrainingReport()],
        }
        for key, (artifact,) in self.outputs.items():
            artifact.uri = str(root / key)
            os.makedirs(artifact.uri)
        self.root, self.params = root, params

    def give(self, key: str, artifact, report) -> "Run":
        artifact.uri = str(self.root / key)
        self.inputs[key] = [artifact]
        write_report(self.inputs, key, report)
        return self

    def give_imbalance(self, data) -> "Run":
        return self.give("imbalance_report", artifacts.ImbalanceReport(), imbalance(data))

    def do(self) -> Training:
        Executor().Do(
            self.inputs,
            self.outputs,
            {
                "params": self.params.to_property(),
                "code_fingerprint": "",
                "run_fn": self.params.run_fn or OUR_RUN_FN,
                "module_file": None,
                "module_path": None,
                "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
                "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["val"])),
                "custom_config": json_utils.dumps({"mine": 1}),
            },
        )
        return read_report(self.outputs, "report", Training)

    @property
    def model_dir(self) -> str:
        return str(self.root / "model" / "Format-Serving")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Run, Training, list[str]]:
    params = TrainerParams(label="y", weight="w", mlp=FAST, class_weights=BALANCED)
    run = Run(data, tmp_path_factory.mktemp("run"), params).give_imbalance(data)
    said: list[str] = []
    with progress.shown_by(said.append):
        return run, run.do(), said


def raw_examples(data, split="val") -> list[bytes]:
    files = sorted(str(p) for p in (data.raw / f"Split-{split}").glob("*"))
    return [record.numpy() for record in tf.data.TFRecordDataset(files, "GZIP")]


def without(record: bytes, *names: str) -> bytes:
    example = tf.train.Example.FromString(record)
    for name in names:
        if name in example.features.feature:
            del example.features.feature[name]
    return example.SerializeToString()


def test_the_report_says_what_was_done(trained, data):
    _, report, said = trained
    n = counts(data)
    expected = {k: (n["no"] + n["yes"]) / (2 * n[k]) for k in CLASSES}
    assert report.class_weights == pytest.approx(expected)
    assert report.factors == report.class_weights
    assert report.kind == "prior_only"
    assert report.learner == "mlp" and report.rows == 640
    assert len(report.history) == 2 and report.best_epoch in (1, 2)
    assert report.seconds > 0 and report.device
    assert any(line.startswith("epoch 1/2") for line in said)


def test_the_saved_model_scores_raw_examples(trained, data):
    run, _, _ = trained
    serve = tf.saved_model.load(run.model_dir).signatures["serving_default"]
    records = raw_examples(data)
    logits = serve(examples=tf.constant(records))["logits"].numpy()
    assert logits.shape == (len(records), 2) and logits.dtype == np.float32
    assert np.isfinite(logits).all()
    # One row at a time, in any order, the same.
    one = serve(examples=tf.constant(records[7:8]))["logits"].numpy()
    np.testing.assert_allclose(one, logits[7:8], atol=1e-5)


def test_label_weight_and_row_id_are_no_inputs(trained, data):
    run, _, _ = trained
    serve = tf.saved_model.load(run.model_dir).signatures["serving_default"]
    records = raw_examples(data)[:20]
    bare = [without(record, "y", "w", "_row_id") for record in records]
    np.testing.assert_array_equal(
        serve(examples=tf.constant(bare))["logits"], serve(examples=tf.constant(records))["logits"]
    )


def test_an_unseen_category_and_a_missing_number_are_scored(trained, data):
    run, _, _ = trained
    serve = tf.saved_model.load(run.model_dir).signatures["serving_default"]
    example = tf.train.Example.FromString(without(raw_examples(data)[0], "income"))
    example.features.feature["color"].bytes_list.value[0] = b"never seen"
    odd = serve(examples=tf.constant([example.SerializeToString()]))["logits"].numpy()
    assert np.isfinite(odd).all()


def test_the_same_run_gives_the_same_model(trained, data, tmp_path):
    run, report, _ = trained
    again = Run(data, tmp_path, run.params).give_imbalance(data)
    repeated = again.do()
    assert [e.train_loss for e in repeated.history] == [e.train_loss for e in report.history]
    records = tf.constant(raw_examples(data))
    one, two = (
        tf.saved_model.load(r.model_dir).signatures["serving_default"](examples=records)["logits"]
        for r in (run, again)
    )
    np.testing.assert_array_equal(one, two)


def user_run(data, tmp_path, **changes) -> Run:
    name = "trainer_user_code"
    source = Path(__file__).with_name("user_code.py").read_text()
    (tmp_path / f"{name}.py").write_text(source)
    params = TrainerParams(label="y", run_fn=f"{name}.run_fn", seed=3, **changes)
    return Run(data, tmp_path / "run", params, graph=False)


@pytest.fixture
def user_path(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("trainer_user_code", None)


def test_a_users_run_fn_finds_the_class_weights(data, user_path):
    run = user_run(data, user_path, class_weights=BALANCED).give_imbalance(data)
    report = run.do()
    seen = json.loads((user_path / "run" / "model_run" / "seen.json").read_text())
    assert seen["class_weights"] == {
        "int0": report.class_weights["no"],
        "int1": report.class_weights["yes"],
    }
    assert (seen["classes"], seen["label"], seen["weight"]) == (["no", "yes"], "y", None)
    assert (seen["seed"], seen["mine"]) == (3, 1)
    assert report.learner == "trainer_user_code.run_fn"
    assert (report.kind, report.rows) == ("approximate", 640)


def test_a_users_run_fn_without_weights_moves_no_prior(data, user_path):
    report = user_run(data, user_path).give_imbalance(data).do()
    assert report.kind == "none" and report.factors == {"no": 1.0, "yes": 1.0}


def test_without_any_report_the_train_split_is_counted(data, user_path):
    report = user_run(data, user_path, class_weights=BALANCED).do()
    n = counts(data)
    assert list(report.class_weights) == ["no", "yes"]
    assert report.class_weights["yes"] == pytest.approx(640 / (2 * n["yes"]))


def test_balanced_weights_use_the_counts_after_rebalancing(data, user_path):
    run = user_run(data, user_path, class_weights=BALANCED).give_imbalance(data)
    after = rebalancing(counts(data), {"no": 500, "yes": 500})
    run.give("rebalance_report", artifacts.RebalanceReport(), after)
    said: list[str] = []
    with progress.shown_by(said.append):
        assert run.do().class_weights == {"no": 1.0, "yes": 1.0}
    seen = json.loads((user_path / "run" / "model_run" / "seen.json").read_text())
    assert seen["class_weights"] == {"int0": 1.0, "int1": 1.0}
    assert not any("warning" in line for line in said)


def test_explicit_weights_on_top_of_resampling_are_warned_of(data, user_path):
    weights = ClassWeightParams(scheme="explicit", explicit={"no": 1.0, "yes": 2.0})
    run = user_run(data, user_path, class_weights=weights).give_imbalance(data)
    after = rebalancing(counts(data), {"no": 500, "yes": 500})
    run.give("rebalance_report", artifacts.RebalanceReport(), after)
    said: list[str] = []
    with progress.shown_by(said.append):
        run.do()
    assert any("class_weights.scheme explicit" in line and "over" in line for line in said)


def test_a_missing_transform_graph_is_told(data, tmp_path):
    run = Run(data, tmp_path, TrainerParams(label="y", mlp=FAST), graph=False)
    with pytest.raises(UserError, match="no transform_graph"):
        run.give_imbalance(data).do()


def test_a_label_that_is_not_there_is_told(data, tmp_path):
    with pytest.raises(UserError, match="label 'nope'"):
        Run(data, tmp_path, TrainerParams(label="nope", mlp=FAST)).do()
