"""Small trained models as Trainer would leave them, and raw examples, without training any net."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tfx_imbalance.components import examples_io


class Linear(tf.Module):
    """Logits that are linear in feature `x`, plus a bias that a vocabulary file knows of `town`."""

    def __init__(self, kernel, vocabulary, output="logits", activation=None, input_name="examples"):
        super().__init__()
        self.kernel = tf.Variable(np.asarray(kernel, np.float32))  # [2, n]: of x, and of 1
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                vocabulary,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            num_oov_buckets=1,
        )
        self.output, self.activation = output, activation or (lambda logits: logits)
        spec = tf.TensorSpec([None], tf.string, name=input_name)
        self.serve = tf.function(self._serve, input_signature=[spec])

    def _serve(self, examples):
        features = {
            "x": tf.io.FixedLenFeature([], tf.float32),
            "town": tf.io.FixedLenFeature([], tf.string, default_value=""),
        }
        parsed = tf.io.parse_example(examples, features)
        town = tf.cast(self.table.lookup(parsed["town"]), tf.float32)
        logits = tf.stack([parsed["x"] + 0.01 * town, tf.ones_like(town)], axis=1) @ self.kernel
        return {self.output: self.activation(logits)}


@pytest.fixture
def save_linear(tmp_path):
    """save(kernel, directory, ...) -> directory of a SavedModel."""

    def save(kernel, directory, towns=("york", "bath"), **kwargs):
        vocabulary = tmp_path / f"vocabulary-{len(list(tmp_path.iterdir()))}.txt"
        vocabulary.write_text("\n".join(towns) + "\n")
        module = Linear(kernel, str(vocabulary), **kwargs)
        tf.saved_model.save(module, str(directory), signatures={"serving_default": module.serve})
        vocabulary.unlink()
        return str(directory)

    return save


def lists(values, kind):
    """An Arrow list column; None gives null."""
    return pa.array([None if v is None else [v] for v in values], pa.list_(kind))


@pytest.fixture(scope="session")
def write_records():
    """write(path, x, labels, weights=None, towns=None): raw tf.Examples as a gz TFRecord file."""

    def write(path, x, labels, weights=None, towns=None):
        columns = {
            "x": lists(np.asarray(x).tolist(), pa.float32()),
            "y": lists([v if v is None else v.encode() for v in labels], pa.binary()),
            "_row_id": lists(range(len(x)), pa.int64()),
        }
        if weights is not None:
            columns["w"] = lists(weights, pa.float32())
        if towns is not None:
            columns["town"] = lists([t.encode() for t in towns], pa.binary())
        path.parent.mkdir(parents=True, exist_ok=True)
        records = examples_io.encode(pa.RecordBatch.from_pydict(columns))
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for record in records:
                writer.write(record)
        return records

    return write
