"""Scoring raw examples with a SavedModel, and reading their labels and weights."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tfx_imbalance.components import examples_io, scoring
from tfx_imbalance.components.errors import DataCheckError, UserError

CLASSES = ["no", "yes"]


class Echo(tf.Module):
    """probabilities [1 - x, x] and a decision at one half."""

    def __init__(self, input_name="examples"):
        super().__init__()
        spec = tf.TensorSpec([None], tf.string, name=input_name)
        self.serve = tf.function(self._serve, input_signature=[spec])

    def _serve(self, examples):
        features = {"x": tf.io.FixedLenFeature([], tf.float32)}
        x = tf.io.parse_example(examples, features)["x"]
        return {
            "probabilities": tf.stack([1 - x, x], axis=1),
            "decision": tf.cast(x >= 0.5, tf.int64),
        }


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("echo"))
    module = Echo()
    tf.saved_model.save(module, directory, signatures={"serving_default": module.serve})
    return directory


def write(path, x, labels, weights=None):
    def lists(values, kind):
        return pa.array([None if v is None else [v] for v in values], pa.list_(kind))

    columns = {
        "x": lists(x, pa.float32()),
        "y": lists([v if v is None else v.encode() for v in labels], pa.binary()),
    }
    if weights is not None:
        columns["w"] = lists(weights, pa.float32())
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in examples_io.encode(pa.RecordBatch.from_pydict(columns)):
            writer.write(record)
    return str(path)


def test_rows_of_all_files_and_blocks_come_in_order(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(examples_io.read_blocks, "__defaults__", (7, None))
    x = np.linspace(0, 1, 40).astype(np.float32)
    labels = ["yes" if i % 3 == 0 else "no" for i in range(40)]
    files = [
        write(tmp_path / "a.gz", x[:25].tolist(), labels[:25]),
        write(tmp_path / "empty.gz", [], []),
        write(tmp_path / "b.gz", x[25:].tolist(), labels[25:]),
    ]
    scored = scoring.score_files(scoring.load(model_dir), files, "y", CLASSES)
    assert (scored.outputs["probabilities"][:, 1] == x).all()
    assert scored.labels.tolist() == [CLASSES.index(v) for v in labels]
    assert scored.weights.tolist() == [1.0] * 40
    assert scored.left_out == 0


def test_rows_without_a_known_label_are_left_out_and_counted(model_dir, tmp_path):
    path = write(
        tmp_path / "a.gz", [0.1, 0.2, 0.3, 0.4], ["yes", None, "maybe", "no"], [1.0, None, 2.0, 3.0]
    )
    scored = scoring.score_files(scoring.load(model_dir), [path], "y", CLASSES, "w")
    assert scored.outputs["probabilities"][:, 1] == pytest.approx([0.1, 0.4])
    assert (scored.labels.tolist(), scored.weights.tolist()) == ([1, 0], [1.0, 3.0])
    assert scored.left_out == 2


def test_score_split_gives_what_metrics_take(model_dir, tmp_path):
    path = write(tmp_path / "a.gz", [0.125, 0.75], ["no", "yes"], [0.5, 2.0])
    scores = scoring.score_split(model_dir, [path], "test", "y", CLASSES, "w")
    assert scores.split == "test"
    assert scores.classes == ("no", "yes")
    assert scores.probabilities.tolist() == [[0.875, 0.125], [0.25, 0.75]]
    assert scores.probabilities.dtype == np.float64
    assert scores.decisions.tolist() == [0, 1]
    assert scores.weights.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("weight", [None, -1.0, float("nan"), float("inf")])
def test_an_unusable_weight_is_refused_by_its_column(model_dir, tmp_path, weight):
    path = write(tmp_path / "a.gz", [0.1, 0.2], ["no", "yes"], [1.0, weight])
    with pytest.raises(DataCheckError, match="column 'w': 1 sample weights are missing, neg"):
        scoring.score_files(scoring.load(model_dir), [path], "y", CLASSES, "w")


@pytest.mark.parametrize("labels", [[], [None, "other"]])
def test_no_labelled_row_is_refused_by_the_labels_column(model_dir, tmp_path, labels):
    path = write(tmp_path / "a.gz", [0.5] * len(labels), labels)
    with pytest.raises(DataCheckError, match=r"column 'y': no row has a label among \['no', 'yes'"):
        scoring.score_files(scoring.load(model_dir), [path], "y", CLASSES)


def test_the_signatures_input_may_have_any_name(tmp_path):
    module = Echo(input_name="serialized")
    directory = str(tmp_path / "model")
    tf.saved_model.save(module, directory, signatures={"serving_default": module.serve})
    path = write(tmp_path / "a.gz", [0.25], ["yes"])
    scored = scoring.score_files(scoring.load(directory), [path], "y", CLASSES)
    assert scored.outputs["probabilities"].tolist() == [[0.75, 0.25]]


def test_a_model_that_cannot_be_served_is_refused(tmp_path):
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x):
            return {"y": x}

    for name in ("serving_default", "predict"):
        module = Other()
        tf.saved_model.save(module, str(tmp_path / name), signatures={name: module.serve})
    with pytest.raises(UserError, match=r"no signature 'serving_default', found \['predict'\]"):
        scoring.load(str(tmp_path / "predict"))
    with pytest.raises(UserError, match=r"must take one string tensor .* takes \['x'\]"):
        scoring.load(str(tmp_path / "serving_default"))
