"""Reporter as a TFX component: real artifacts in, page and summary out."""

import io
import json
import os

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from sklearn import metrics as sk
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from tfx_imbalance import artifacts
from tfx_imbalance.components import examples_io
from tfx_imbalance.components.reporter.component import Reporter
from tfx_imbalance.components.reporter.executor import Executor
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.components.reporter.report import Summary

INPUTS = {
    "imbalance_report": artifacts.ImbalanceReport,
    "rebalance_report": artifacts.RebalanceReport,
    "training_report": artifacts.TrainingReport,
    "calibration_report": artifacts.CalibrationReport,
    "gate_report": artifacts.GateReport,
    "drift_report": artifacts.DriftReport,
    "champion": artifacts.Champion,
    "model": standard_artifacts.Model,
    "examples": standard_artifacts.Examples,
    "pushed_model": standard_artifacts.PushedModel,
}


class Served(tf.Module):
    """Says that a row's probability of yes is its feature x."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples):
        x = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {
            "probabilities": tf.stack([1 - x, x], axis=1),
            "decision": tf.cast(x >= 0.25, tf.int64),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, binary_run):
    """The reports, the model and the test rows of one run, as other components leave them."""
    root = tmp_path_factory.mktemp("artifacts")
    reports = {
        "imbalance_report": binary_run.imbalance,
        "rebalance_report": binary_run.rebalancing,
        "training_report": binary_run.training,
        "calibration_report": binary_run.calibration,
        "drift_report": binary_run.drift,
        "champion": binary_run.champion,
    }
    for name, report in reports.items():
        (root / name).mkdir()
        (root / name / "report.json").write_text(report.model_dump_json())
    buffer = io.BytesIO()
    np.savez(buffer, **binary_run.val_scores)
    (root / "calibration_report" / "val_scores.npz").write_bytes(buffer.getvalue())

    served = Served()
    tf.saved_model.save(
        served, str(root / "model" / "Format-Serving"), {"serving_default": served.serve}
    )
    random = np.random.default_rng(0)
    x = random.random(400).astype(np.float32)
    y = np.where(random.random(400) < x, b"yes", b"no")
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([[value] for value in x], pa.list_(pa.float32())),
            pa.array([[value] for value in y], pa.list_(pa.binary())),
            pa.array([[value] for value in 1 + x], pa.list_(pa.float32())),
        ],
        ["x", "y", "w"],
    )
    (root / "examples" / "Split-test").mkdir(parents=True)
    path = root / "examples" / "Split-test" / "data_tfrecord-00000-of-00001.gz"
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as file:
        for record in examples_io.encode(rows):
            file.write(record)
    return root, x, y == b"yes"


def run(folder, binary_run, tmp_path, verdict="blessed", pushed=True, without=(), **context):
    root = folder[0]
    gates = tmp_path / "gate_report"
    gates.mkdir()
    gating = binary_run.gating.model_copy(update={"verdict": verdict})
    (gates / "report.json").write_text(gating.model_dump_json())
    input_dict = {}
    for name, kind in INPUTS.items():
        artifact = kind()
        artifact.uri = str(gates if name == "gate_report" else root / name)
        input_dict[name] = [] if name in without else [artifact]
    input_dict["examples"][0].split_names = artifact_utils.encode_split_names(["test"])
    input_dict["pushed_model"][0].set_int_custom_property("pushed", int(pushed))
    if pushed:
        input_dict["pushed_model"][0].set_string_custom_property(
            "pushed_destination", "runs/bank/serving/1764028800"
        )
    output = artifacts.RunReport()
    output.uri = str(tmp_path / "report")
    given = RunContext(name="bank", run_id="20261124T234805", seed=7, **context)
    Executor().Do(input_dict, {"report": [output]}, {"context": given.to_property()})
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    return Summary.model_validate_json((tmp_path / "report" / "summary.json").read_text()), html


def test_scores_test_with_the_model_and_reports_it(folder, binary_run, tmp_path):
    _, x, yes = folder
    timings = tmp_path / "timings.json"
    timings.write_text(
        json.dumps([{"node": "Trainer", "seconds": 2.5, "cached": True, "made": "mlp"}])
    )
    summary, html = run(folder, binary_run, tmp_path, timings_path=str(timings))
    assert summary.outcome == "pushed"
    assert summary.pushed_path == "runs/bank/serving/1764028800"
    test = summary.metrics["test"]
    assert test.auc_pr == pytest.approx(sk.average_precision_score(yes, x))
    assert test.recall == pytest.approx(sk.recall_score(yes, x >= 0.25))
    assert test.brier == pytest.approx(sk.brier_score_loss(yes, x))
    assert summary.timings == {"Trainer": 2.5} and summary.cached == ["Trainer"]
    assert "<h1>Pushed</h1>" in html


def test_sample_weights_count(folder, binary_run, tmp_path):
    _, x, yes = folder
    summary, _ = run(folder, binary_run, tmp_path, weight="w")
    expected = sk.average_precision_score(yes, x, sample_weight=1 + x)
    assert summary.metrics["test"].auc_pr == pytest.approx(expected)


@pytest.mark.parametrize(
    ("verdict", "pushed", "outcome"),
    [
        ("unchanged", False, "unchanged"),
        ("blocked", False, "not blessed"),
        ("blessed", False, "failed"),
    ],
)
def test_outcome_follows_gate_and_pusher(folder, binary_run, tmp_path, verdict, pushed, outcome):
    summary, _ = run(folder, binary_run, tmp_path, verdict, pushed)
    assert summary.outcome == outcome
    assert summary.pushed_path is None
    assert (summary.error is not None) == (outcome == "failed")


def test_optional_inputs_and_timings_may_be_absent(folder, binary_run, tmp_path):
    summary, html = run(
        folder,
        binary_run,
        tmp_path,
        without=("rebalance_report", "drift_report"),
        timings_path=str(tmp_path / "not there.json"),
    )
    assert "rebalanced" not in summary.class_counts
    assert summary.drift is None and summary.timings == {}
    assert '<section id="drift">' not in html


def test_component_declares_what_it_reads_and_makes():
    channels = {name: types.Channel(type=kind) for name, kind in INPUTS.items()}
    for name in ("rebalance_report", "drift_report"):
        del channels[name]
    context = RunContext(name="bank", run_id="1")
    component = Reporter(**channels, context=context)
    assert set(component.inputs) == set(channels)
    assert component.outputs["report"].type is artifacts.RunReport
    assert RunContext.from_property(component.exec_properties["context"]) == context
    assert len(component.exec_properties["code_fingerprint"]) == 64
    assert os.path.basename(component.outputs["report"].type_name) == "tfx_imbalance.RunReport"
