"""The pushed SavedModel and its fingerprint."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfx_imbalance.components import scoring
from tfx_imbalance.components.calibrator import calibration, export, head
from tfx_imbalance.components.calibrator.params import CalibratorParams, ThresholdParams
from tfx_imbalance.components.calibrator.raw_scores import RawForm

KERNELS = {
    2: [[0.0, 1.5], [0.0, -1.0]],
    3: [[0.0, 1.0, -1.0], [0.0, -1.0, -2.0]],
}
CLASSES = {2: ["no", "yes"], 3: ["a", "b", "c"]}

# Only TensorFlow: what a server that knows nothing of this package does.
FRESH = """
import sys, numpy as np, tensorflow as tf
assert "tfx_imbalance" not in sys.modules
model = tf.saved_model.load(sys.argv[1])
records = tf.constant(np.load(sys.argv[2], allow_pickle=True)["records"].tolist())
served = model.signatures["serving_default"](examples=records)
truth = model.signatures["label_index"](examples=records)
np.savez(sys.argv[3], **{k: v.numpy() for k, v in {**served, **truth}.items()})
"""


@pytest.fixture
def pushed(save_linear, write_records, tmp_path):
    """make(n_classes, method) -> directory, records, labels, fitted head."""

    def make(n_classes, method, name="pushed"):
        rng = np.random.default_rng(0)
        classes = CLASSES[n_classes]
        x = rng.normal(size=300)
        labels = [classes[k] for k in rng.integers(0, n_classes, 300)]
        towns = rng.choice(["york", "bath", "ely"], 300).tolist()
        path = tmp_path / name / "val.gz"
        records = write_records(path, x, labels, towns=towns)
        model_dir = save_linear(KERNELS[n_classes], tmp_path / name / "trained")
        model = scoring.load(model_dir)
        scored = scoring.score_files(model, [str(path)], "y", classes)
        form = RawForm.of(scored.outputs, n_classes)
        logits = form.logits(scored.outputs).numpy()
        params = CalibratorParams(label="y", method=method, threshold=ThresholdParams(beta=2))
        factors = np.arange(1.0, n_classes + 1)
        fitted = head.fit(
            logits, scored.labels, scored.weights, classes, factors, "prior_only", params
        )
        directory = str(tmp_path / name / "served")
        export.write(export.Pushed(model, form, fitted.head, "y", classes), directory)
        return directory, records, scored, fitted.head(logits)

    return make


@pytest.mark.parametrize(
    ("n_classes", "method"),
    [(2, "none"), (2, "platt"), (2, "isotonic"), (2, "temperature"), (3, "isotonic")],
)
def test_the_export_scores_as_computed_whatever_the_batch(pushed, n_classes, method):
    directory, records, _, expected = pushed(n_classes, method)
    model = scoring.load(directory)
    parts = [scoring.serve(model, tf.constant(part)) for part in (records[:7], records[7:])]
    found = {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert found[name] == pytest.approx(value.numpy(), abs=1e-6)
    assert found["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-6)
    names = np.array(CLASSES[n_classes])[found["decision"]]
    assert [name.decode() for name in found["label"]] == names.tolist()
    column = 1 if n_classes == 2 else found["decision"]
    assert (found["probability"] == found["probabilities"][range(300), column]).all()


def test_a_fresh_process_with_tensorflow_alone_scores_the_same(pushed, tmp_path):
    directory, records, scored, expected = pushed(2, "platt")
    shutil.rmtree(tmp_path / "pushed" / "trained")
    directory = shutil.move(directory, tmp_path / "elsewhere")
    given, out = str(tmp_path / "in.npz"), str(tmp_path / "out.npz")
    np.savez(given, records=np.array(records, dtype=object))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-c", FRESH, directory, given, out]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    found = np.load(out, allow_pickle=True)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.numpy(), abs=1e-6)
    assert (found["label_index"] == scored.labels).all()


def test_label_index_is_minus_1_without_a_known_label(pushed, write_records, tmp_path):
    directory, *_ = pushed(3, "none")
    labels = ["c", None, "a", "other", "b"]
    records = write_records(tmp_path / "some.gz", np.zeros(5), labels)
    model = tf.saved_model.load(directory)
    found = model.signatures["label_index"](examples=tf.constant(records))["label_index"]
    assert found.dtype == tf.int64
    assert found.numpy().tolist() == [2, -1, 0, -1, 1]


def test_scores_do_not_depend_on_the_label(pushed, write_records, tmp_path):
    directory, *_ = pushed(2, "none")
    model, x = scoring.load(directory), np.linspace(-1, 1, 5)
    found = [
        scoring.serve(model, tf.constant(write_records(tmp_path / name, x, labels)))
        for name, labels in (("a.gz", ["no"] * 5), ("b.gz", [None] * 5))
    ]
    assert (found[0]["probabilities"].numpy() == found[1]["probabilities"].numpy()).all()


@pytest.fixture
def fingerprint(save_linear, tmp_path):
    """fingerprint of a saved linear model under a head, each in a directory of its own."""
    count = iter(range(100))

    def take(kernel=KERNELS[2], towns=("york", "bath"), classes=("no", "yes"), **fields):
        model_dir = save_linear(kernel, tmp_path / f"model-{next(count)}", towns=towns)
        rng = np.random.default_rng(0)
        params = CalibratorParams(label="y", method=fields.get("method", "none"))
        logits, labels = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
        factors = np.array(fields.get("factors", [1.0, 2.0]))
        fitted = head.fit(logits, labels, np.ones(50), classes, factors, "prior_only", params)
        return export.fingerprint(scoring.load(model_dir), model_dir, fitted.head, classes)

    return take


def test_the_fingerprint_of_equal_models_is_equal_wherever_they_lie(fingerprint):
    assert fingerprint() == fingerprint()
    assert fingerprint(factors=[1.0, 2.0]) == fingerprint(factors=[2.0, 4.0])


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": [[0.0, 1.5], [0.0, -1.0000001]]},
        {"towns": ("bath", "york")},
        {"classes": ("no", "oui")},
        {"factors": [1.0, 2.1]},
        {"method": "platt"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_whatever_the_model_computes(fingerprint, change):
    assert fingerprint(**change) != fingerprint()


def test_the_fingerprint_sees_constants_of_the_graph(save_linear, tmp_path):
    digests = set()
    for i, scale in enumerate((1.0, 1.0, 1.5)):
        model_dir = save_linear(
            KERNELS[2], tmp_path / str(i), activation=lambda z, scale=scale: z * scale
        )
        point = head.threshold.OperatingPoint(0.5, np.eye(2), "", 0.0)
        fixed = head.Head(np.ones(2), calibration.Uncalibrated(), point)
        digests.add(export.fingerprint(scoring.load(model_dir), model_dir, fixed, ["no", "yes"]))
    assert len(digests) == 2
