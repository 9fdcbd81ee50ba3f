"""The component: artifacts in, artifacts out."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from tfx_imbalance import artifacts
from tfx_imbalance.components import artifact_io, metrics, progress, scoring
from tfx_imbalance.components.calibrator import calibration
from tfx_imbalance.components.calibrator.component import Calibrator
from tfx_imbalance.components.calibrator.executor import Executor
from tfx_imbalance.components.calibrator.params import CalibratorParams, ThresholdParams
from tfx_imbalance.components.calibrator.report import Calibration
from tfx_imbalance.components.errors import DataCheckError, UserError
from tfx_imbalance.components.imbalance_detector.report import Imbalance, Recommendation
from tfx_imbalance.components.names import EXTRA_DIR
from tfx_imbalance.components.rebalancer.report import Rebalancing
from tfx_imbalance.components.trainer.report import Training

KERNEL = [[0.0, 1.5], [0.0, -2.5 + np.log(12.0)]]  # trained with yes weighted 4 and sampled 3


def imbalance(classes):
    counts = dict.fromkeys(classes, 10)
    return Imbalance(
        label="y",
        classes=classes,
        positive=classes[1] if len(classes) == 2 else None,
        counts={"train": counts},
        unlabelled={},
        majority=classes[0],
        minority=classes[1],
        minority_share=0.5,
        imbalance_ratio=1.0,
        normalized_entropy=1.0,
        severity="none",
        prior_shift={},
        slices=[],
        class_weights=dict.fromkeys(classes, 1.0),
        suggested_class_weights={},
        anomalies={},
        checks=[],
        recommendation=Recommendation(technique="none", reasons=[]),
    )


def rebalancing(factors, kind="prior_only"):
    zero = dict.fromkeys(factors, 0)
    return Rebalancing(
        method="over",
        sampling_strategy="auto",
        seed=0,
        before=zero,
        after=zero,
        kept=zero,
        duplicated=zero,
        synthetic=zero,
        weights=dict.fromkeys(factors, 1.0),
        recall={},
        factors=factors,
        kind=kind,
        row_identity="feature",
    )


def training(factors):
    return Training(
        learner="mlp",
        device="CPU",
        mixed_precision=False,
        class_weights=factors,
        factors=factors,
        kind="prior_only",
        rows=1,
        seconds=0.0,
        best_epoch=None,
        history=[],
    )


class World:
    """The inputs of one run of Calibrator, as files, and the run."""

    def __init__(self, root, save_linear, write_records):
        self.root, self.classes = root, ["no", "yes"]
        rng = np.random.default_rng(0)
        x = rng.normal(size=4000)
        p = 1 / (1 + np.exp(-(1.5 * x - 2.5)))
        self.write = write_records
        self.x, self.y = x, np.where(rng.uniform(size=4000) < p, "yes", "no").tolist()
        self.weights = None
        self.save_linear = save_linear
        self.model = {"kernel": KERNEL}
        self.rebalancing = rebalancing({"no": 1.0, "yes": 3.0})
        self.training = training({"no": 1.0, "yes": 4.0})

    def artifact(self, cls, name, splits=None):
        artifact = cls()
        artifact.uri = str(self.root / name)
        if splits:
            artifact.split_names = artifact_utils.encode_split_names(splits)
        return artifact

    def run(self, **params):
        self.write(self.root / "examples/Split-val/part-0.gz", self.x, self.y, self.weights)
        statistics = self.root / "statistics/Split-train/FeatureStats.pb"
        statistics.parent.mkdir(parents=True)
        statistics.write_bytes(b"train statistics")
        model = self.artifact(standard_artifacts.Model, "trained")
        self.save_linear(
            directory=path_utils.serving_model_dir(model.uri), towns=("york",), **self.model
        )
        inputs = {
            "trained_model": [model],
            "examples": [self.artifact(standard_artifacts.Examples, "examples", ["train", "val"])],
            "statistics": [
                self.artifact(standard_artifacts.ExampleStatistics, "statistics", ["train", "val"])
            ],
            "imbalance_report": [self.artifact(artifacts.ImbalanceReport, "imbalance")],
            "training_report": [self.artifact(artifacts.TrainingReport, "training")],
        }
        artifact_io.write_report(inputs, "imbalance_report", imbalance(self.classes))
        artifact_io.write_report(inputs, "training_report", self.training)
        if self.rebalancing:
            inputs["rebalance_report"] = [self.artifact(artifacts.RebalanceReport, "rebalance")]
            artifact_io.write_report(inputs, "rebalance_report", self.rebalancing)
        outputs = {
            "model": [self.artifact(standard_artifacts.Model, "pushed")],
            "report": [self.artifact(artifacts.CalibrationReport, "report")],
        }
        properties = {"params": CalibratorParams(label="y", **params).to_property()}
        self.said = []
        with progress.shown_by(self.said.append):
            Executor().Do(inputs, outputs, properties)
        self.report = artifact_io.read_report(outputs, "report", Calibration)
        self.arrays = np.load(self.root / "report/val_scores.npz")
        self.serving = path_utils.serving_model_path(outputs["model"][0].uri)
        return self.report

    def test_scores(self):
        file = str(self.root / "examples/Split-val/part-0.gz")
        weight = "w" if self.weights is not None else None
        return scoring.score_split(self.serving, [file], "val", "y", self.classes, weight)


@pytest.fixture
def world(tmp_path, save_linear, write_records):
    return World(tmp_path, save_linear, write_records)


def test_sampling_and_weights_are_undone_and_everything_is_written_down(world):
    report = world.run()
    assert report.factors == {"no": 1.0, "yes": 12.0}
    assert (report.kind, report.prior_corrected, report.positive) == ("prior_only", True, "yes")
    assert report.val_rows == 4000
    share = world.y.count("yes") / 4000
    assert report.prevalence["yes"] == pytest.approx(share)
    assert report.mean_score["yes"] == pytest.approx(share, rel=0.06)
    assert report.val_metrics_raw["ece"] > 0.2
    assert report.val_metrics["ece"] < 0.02
    assert report.val_metrics["brier"] < report.val_metrics_raw["brier"]
    assert report.val_metrics["auc"] == pytest.approx(report.val_metrics_raw["auc"], abs=1e-6)
    assert report.objective_value == pytest.approx(report.val_metrics["f1"])
    assert any("4000 rows of val" in line for line in world.said)


def test_val_scores_are_what_the_pushed_model_says(world):
    report = world.run(method="platt")
    scores = world.test_scores()
    assert metrics.summary(scores) == pytest.approx(report.val_metrics, abs=1e-6)
    order = np.argsort(scores.probabilities[:, 1])
    there = np.argsort(world.arrays["probabilities"][:, 1])
    assert world.arrays["probabilities"][there] == pytest.approx(scores.probabilities[order])
    decided = world.arrays["probabilities"][:, 1] >= report.threshold
    assert (decided == world.arrays["decisions"]).all()
    raw, corrected = (world.arrays[name][:, 1] for name in ("raw", "corrected"))
    assert corrected == pytest.approx(raw / 12 / (raw / 12 + 1 - raw))
    assert sorted(world.arrays) == sorted(
        ["labels", "weights", "raw", "corrected", "probabilities", "decisions"]
    )


def test_the_pushed_folder_carries_its_reports_and_train_statistics(world):
    report = world.run()
    extra = world.root / "pushed/Format-Serving" / EXTRA_DIR
    assert str(extra).startswith(world.serving)
    assert Calibration.model_validate_json((extra / "calibration.json").read_text()) == report
    found = Imbalance.model_validate_json((extra / "imbalance.json").read_text())
    assert found == imbalance(["no", "yes"])
    assert (extra / "FeatureStats.pb").read_bytes() == b"train statistics"
    assert len(report.model_fingerprint) == 64


def test_without_a_rebalancer_only_the_weights_are_undone(world):
    world.rebalancing = None
    world.model = {"kernel": [[0.0, 1.5], [0.0, -2.5 + np.log(4.0)]]}
    report = world.run()
    assert report.factors == {"no": 1.0, "yes": 4.0}
    assert report.mean_score["yes"] == pytest.approx(report.prevalence["yes"], rel=0.06)


def test_sample_weights_count(world):
    world.weights = [3.0 if y == "yes" else 1.0 for y in world.y]
    world.model = {"kernel": [[0.0, 1.5], [0.0, -2.5 + np.log(36.0)]]}
    report = world.run(weight="w")
    yes = world.y.count("yes")
    assert report.prevalence["yes"] == pytest.approx(3 * yes / (4000 + 2 * yes))
    assert report.mean_score["yes"] == pytest.approx(report.prevalence["yes"], rel=0.06)
    assert set(world.arrays["weights"]) == {1.0, 3.0}


def test_smote_is_calibrated_on_val(world):
    world.rebalancing = rebalancing({"no": 1.0, "yes": 3.0}, kind="approximate")
    report = world.run()
    assert report.kind == "approximate"
    assert report.method in calibration.BINARY


def test_a_users_sigmoid_model_gives_the_same(world):
    logits = world.run()
    other = World(world.root / "other", world.save_linear, world.write)
    other.model = {
        "kernel": KERNEL,
        "output": "output_0",
        "activation": lambda z: tf.sigmoid(z[:, 1:]),
    }
    found = other.run()
    assert found.val_metrics == pytest.approx(logits.val_metrics, abs=1e-5)
    assert found.threshold == pytest.approx(logits.threshold, abs=1e-5)


def test_three_classes(world):
    world.classes = ["a", "b", "c"]
    world.y = [world.classes[i % 3 if i % 7 else 0] for i in range(len(world.y))]
    world.model = {"kernel": [[0.0, 1.0, -1.0], [0.0, -0.2, -0.3]]}
    world.rebalancing = None
    world.training = training({"a": 1.0, "b": 2.0, "c": 4.0})
    report = world.run()
    assert (report.threshold, report.positive, report.method) == (None, None, "vector")
    assert np.shape(report.decision_matrix) == (3, 3)
    chosen = (world.arrays["probabilities"] @ np.array(report.decision_matrix)).argmax(axis=1)
    assert (chosen == world.arrays["decisions"]).all()
    assert metrics.summary(world.test_scores()) == pytest.approx(report.val_metrics, abs=1e-6)


def test_a_val_without_positives_is_survived_and_its_report_can_be_read(world):
    world.y = ["no"] * len(world.y)
    report = world.run()
    assert np.isnan(report.val_metrics["auc"])
    assert report.threshold == 0.5
    assert any(line.startswith("warning: val has no row of class 'yes'") for line in world.said)
    json.loads((world.root / "report/report.json").read_text())


def test_an_unattainable_precision_is_warned_of(world):
    world.y = np.random.default_rng(0).permutation(world.y).tolist()
    threshold = ThresholdParams(objective="recall_at_precision", precision=1.0)
    world.model = {"kernel": [[0.0, 0.0], [0.0, 0.0]]}
    report = world.run(threshold=threshold)
    assert "no threshold reaches precision 1" in report.warnings[0]
    assert report.objective == "recall_at_precision (precision >= 1.0)"


def test_an_objective_for_two_classes_is_refused_before_the_model_is_loaded(world):
    world.classes = ["a", "b", "c"]
    world.training = training(dict.fromkeys(world.classes, 1.0))
    world.rebalancing = None
    world.model = {"kernel": KERNEL, "output": "unusable"}
    threshold = ThresholdParams(objective="precision_at_recall", recall=0.5)
    with pytest.raises(UserError, match=r"calibrate.threshold.objective"):
        world.run(threshold=threshold)


def test_unusable_outputs_and_data_are_refused(world, tmp_path):
    world.model = {"kernel": KERNEL, "output": "scores"}
    with pytest.raises(UserError, match=r"'scores' .* accepted are 'logits'"):
        world.run()
    other = World(tmp_path / "other", world.save_linear, world.write)
    other.weights = [0.0] * len(other.y)
    with pytest.raises(DataCheckError, match="every sample weight of val is 0"):
        other.run(weight="w")


def test_the_component_wires_its_channels():
    component = Calibrator(
        model=types.Channel(standard_artifacts.Model),
        examples=types.Channel(standard_artifacts.Examples),
        imbalance_report=types.Channel(artifacts.ImbalanceReport),
        training_report=types.Channel(artifacts.TrainingReport),
        statistics=types.Channel(standard_artifacts.ExampleStatistics),
        params=CalibratorParams(label="y"),
    )
    assert component.outputs["model"].type is standard_artifacts.Model
    assert component.outputs["report"].type is artifacts.CalibrationReport
    assert "rebalance_report" not in component.inputs
    assert len(component.exec_properties["code_fingerprint"]) == 64
    assert CalibratorParams.from_property(component.exec_properties["params"]).label == "y"
