"""Models of the form that Calibrator pushes, data for them, and the reports around them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from tfx_imbalance import artifacts
from tfx_imbalance.components import artifact_io, examples_io
from tfx_imbalance.components.calibrator.report import Calibration
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.imbalance_detector.report import Imbalance, Recommendation

CLASSES = {2: ("no", "yes"), 3: ("a", "b", "c")}


class Softmax(tf.Module):
    """Logits x * scale over float features x0, x1, ...; decides for the last class early."""

    def __init__(self, classes, scale):
        super().__init__()
        self.classes = list(classes)
        self.scale = tf.Variable(scale)
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.classes, tf.range(len(classes))), -1
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serving_default(self, examples):
        names = [f"x{k}" for k in range(len(self.classes))]
        parsed = tf.io.parse_example(
            examples, {name: tf.io.FixedLenFeature([], tf.float32) for name in names}
        )
        probabilities = tf.nn.softmax(tf.stack([parsed[n] for n in names], axis=1) * self.scale)
        early = tf.constant([1.0] * (len(names) - 1) + [2.0])
        decision = tf.argmax(probabilities * early, axis=1)
        return {
            "probabilities": probabilities,
            "probability": probabilities[:, -1],
            "decision": decision,
            "label": tf.gather(tf.constant(self.classes), decision),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def label_index(self, examples):
        label = tf.io.FixedLenFeature([], tf.string, default_value="")
        parsed = tf.io.parse_example(examples, {"y": label})
        return {"label_index": tf.cast(self.table.lookup(parsed["y"]), tf.float32)}


def save_model(directory, classes, scale=1.0):
    """Saves a Softmax in `directory`."""
    model = Softmax(classes, scale)
    tf.saved_model.save(
        model,
        str(directory),
        signatures={"serving_default": model.serving_default, "label_index": model.label_index},
    )


def serve(directory, records):
    """output name -> array: what plain TensorFlow says of the records."""
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    return {name: value.numpy() for name, value in signature(tf.constant(records)).items()}


def make_rows(n_classes, n=500, seed=0):
    """An imbalanced sample: arrays y, town, size, w, x; Nowhere has no row of the last class."""
    random = np.random.default_rng(seed)
    shares = [1 - 0.15 * (n_classes - 1)] + [0.15] * (n_classes - 1)
    y = random.choice(n_classes, n, p=shares)
    town = random.choice(["York", "Bath", "Ely"], n).astype(object)
    town[(y < n_classes - 1) & (random.random(n) < 0.1)] = "Nowhere"
    return {
        "y": y,
        "town": town,
        "size": random.integers(1, 3, n),
        "w": random.integers(0, 4, n).astype(np.float32),
        "x": (random.normal(size=(n, n_classes)) + 1.2 * np.eye(n_classes)[y]).astype(np.float32),
    }


def encode(rows, classes):
    """Serialized raw tf.Examples of `make_rows`."""
    columns = {
        "y": pa.array([classes[k].encode() for k in rows["y"]]),
        "town": pa.array([town.encode() for town in rows["town"]]),
        "size": pa.array(rows["size"]),
        "w": pa.array(rows["w"]),
    }
    columns |= {f"x{k}": pa.array(rows["x"][:, k]) for k in range(len(classes))}
    offsets = pa.array(np.arange(len(rows["y"]) + 1, dtype=np.int32))
    return examples_io.encode(
        pa.RecordBatch.from_pydict(
            {name: pa.ListArray.from_arrays(offsets, column) for name, column in columns.items()}
        )
    )


def write_split(uri, records, split="test"):
    """Writes one split of an Examples artifact's folder."""
    folder = Path(uri) / f"Split-{split}"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for record in records:
            writer.write(record)


def examples_artifact(uri, split="test"):
    artifact = standard_artifacts.Examples()
    artifact.uri = str(uri)
    artifact.split_names = artifact_utils.encode_split_names([split])
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    return artifact


def model_artifact(uri, classes, scale=1.0):
    artifact = standard_artifacts.Model()
    artifact.uri, artifact.id = str(uri), 7
    save_model(path_utils.serving_model_dir(artifact.uri), classes, scale)
    return artifact


def artifact(cls, uri):
    """An empty artifact of a class."""
    made = cls()
    made.uri = str(uri)
    return made


def report_artifact(cls, uri, report):
    """An artifact that holds a report."""
    made = artifact(cls, uri)
    artifact_io.write_report({"key": [made]}, "key", report)
    return made


def calibration(classes=CLASSES[2], model_fingerprint="candidate"):
    return Calibration(
        classes=list(classes),
        positive=classes[-1] if len(classes) == 2 else None,
        factors=dict.fromkeys(classes, 1.0),
        kind="none",
        prior_corrected=False,
        method="none",
        method_reason="",
        objective="f_beta (beta = 1)",
        threshold=0.33,
        decision_matrix=np.eye(len(classes)).tolist(),
        val_rows=1,
        val_metrics_raw={},
        val_metrics_corrected={},
        val_metrics={},
        mean_score={},
        prevalence={},
        model_fingerprint=model_fingerprint,
    )


def imbalance(classes=CLASSES[2]):
    return Imbalance(
        label="y",
        classes=list(classes),
        positive=classes[-1] if len(classes) == 2 else None,
        counts={},
        unlabelled={},
        majority=classes[0],
        minority=classes[-1],
        minority_share=0.1,
        imbalance_ratio=9.0,
        normalized_entropy=0.5,
        severity="moderate",
        prior_shift={},
        slices=[],
        class_weights={},
        suggested_class_weights={},
        anomalies={},
        checks=[],
        recommendation=Recommendation(technique="none", reasons=[]),
    )


def champion_info(**changed):
    """A comparable champion, or with `version=None` none."""
    there = changed.get("version", "12") is not None
    given = {
        "version": "12",
        "message": "serving/12" if there else "no model was pushed yet",
        "model_fingerprint": "champion" if there else None,
        "classes": ["no", "yes"] if there else None,
        "comparable": there,
    }
    return ChampionInfo(**given | changed)


REPORTS = {
    "calibration_report": artifacts.CalibrationReport,
    "imbalance_report": artifacts.ImbalanceReport,
    "champion": artifacts.Champion,
}
