"""What may come out of a trained model, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from tfx_imbalance.components.calibrator.raw_scores import RawForm
from tfx_imbalance.components.errors import UserError

POSITIVE = np.array([0.1, 0.5, 0.93], np.float32)
THREE = np.array([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]], np.float32)


def probabilities(outputs, n_classes):
    form = RawForm.of(outputs, n_classes)
    logits = form.logits({k: tf.constant(v) for k, v in outputs.items()})
    assert logits.dtype == tf.float64
    return tf.nn.softmax(logits, axis=1).numpy()


@pytest.mark.parametrize(
    "outputs",
    [
        {"output_0": POSITIVE},
        {"output_0": POSITIVE[:, None]},
        {"anything": np.stack([1 - POSITIVE, POSITIVE], axis=1)},
        {"logits": np.log(np.stack([1 - POSITIVE, POSITIVE], axis=1)) + 3},
        {"logits": np.log(POSITIVE / (1 - POSITIVE))[:, None], "hidden": np.zeros((3, 9))},
    ],
    ids=["[n]", "[n, 1]", "[n, 2]", "logits [n, 2]", "logits [n, 1]"],
)
def test_each_accepted_binary_form_means_the_same(outputs):
    assert probabilities(outputs, 2)[:, 1] == pytest.approx(POSITIVE, abs=1e-6)


def test_each_accepted_multiclass_form_means_the_same():
    assert probabilities({"out": THREE}, 3) == pytest.approx(THREE, abs=1e-6)
    assert probabilities({"logits": np.log(THREE)}, 3) == pytest.approx(THREE, abs=1e-6)


def test_saturated_probabilities_stay_finite():
    found = probabilities({"out": np.array([0.0, 1.0], np.float32)}, 2)
    assert found[:, 1] == pytest.approx([1e-7, 1 - 1e-7])


@pytest.mark.parametrize(
    ("outputs", "n_classes", "message"),
    [
        ({"a": POSITIVE, "b": POSITIVE}, 2, r"has the outputs \['a', 'b'\]"),
        ({"out": THREE}, 2, r"'out' of type float32 and shape \[2, 3\]; .*\[n, 2\], \[n, 1\]"),
        ({"out": POSITIVE}, 3, r"shape \[3\]; accepted are 'logits' \[n, 3\]"),
        ({"out": THREE * 3}, 3, "whose values are no probabilities"),
        ({"out": POSITIVE - 0.5}, 2, "whose values are no probabilities"),
        ({"out": np.array([b"yes", b"no"])}, 2, "type"),
        ({"out": np.array([1, 0])}, 2, "type int64"),
        ({"logits": THREE * np.nan}, 3, "NaN or infinite"),
    ],
)
def test_anything_else_is_refused_by_what_was_found_and_what_is_accepted(
    outputs, n_classes, message
):
    with pytest.raises(UserError, match=message):
        RawForm.of(outputs, n_classes)
