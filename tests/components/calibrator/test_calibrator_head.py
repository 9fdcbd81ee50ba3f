"""From val's logits to probabilities, decision and report."""

import numpy as np
import pytest

from tfx_imbalance.components import metrics
from tfx_imbalance.components.calibrator import head
from tfx_imbalance.components.calibrator.params import CalibratorParams, ThresholdParams

CLASSES = ["no", "yes"]


def distorted(n, seed, factor, noise=0.0):
    """Logits of a model trained with the positive class weighted by `factor`; labels."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.5, 1.5, n)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    learnt = z + np.log(factor) + noise
    return np.stack([np.zeros(n), learnt], axis=1), y


def fit(logits, y, factor, kind="prior_only", **params):
    factors = np.array([1.0, factor])
    weights = np.ones(len(y))
    return head.fit(
        logits, y, weights, CLASSES, factors, kind, CalibratorParams(label="y", **params)
    )


def published(fitted, logits, y):
    found = {k: v.numpy() for k, v in fitted.head(logits).items()}
    p = found["probabilities"].astype(float)
    return metrics.Scores("test", y, p, found["decision"], np.ones(len(y)), CLASSES)


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.5, 100.0])
@pytest.mark.parametrize("noise", [0.0, 0.6], ids=["exact", "shifted"])
def test_pushed_probabilities_are_calibrated_whatever_the_weights(factor, noise):
    fitted = fit(*distorted(20_000, 1, factor, noise), factor)
    logits, y = distorted(40_000, 2, factor, noise)
    test = published(fitted, logits, y)
    plain = published(fit(*distorted(20_000, 1, 1.0), 1.0), *distorted(40_000, 2, 1.0))
    assert test.probabilities[:, 1].mean() == pytest.approx(y.mean(), rel=0.03)
    assert metrics.ece(test) <= 0.02
    assert metrics.brier(test) <= 1.02 * metrics.brier(plain)
    if noise:
        assert fitted.head.calibrate.method == "platt"


def test_without_prior_correction_the_scores_stay_distorted_on_purpose():
    logits, y = distorted(3000, 1, 7.5)
    fitted = fit(logits, y, 7.5, prior_correction=False)
    assert fitted.head.calibrate.method == "none"
    assert "on purpose" in fitted.reason
    assert fitted.scores.probabilities == pytest.approx(fitted.raw, abs=1e-7)
    assert fitted.scores.probabilities[:, 1].mean() > 2 * y.mean()
    asked = fit(logits, y, 7.5, prior_correction=False, method="platt")
    assert asked.scores.probabilities[:, 1].mean() == pytest.approx(y.mean(), rel=0.01)


@pytest.mark.parametrize("objective", ["f_beta", "balanced_accuracy"])
def test_the_decision_does_not_depend_on_weights_that_were_undone(objective):
    params = {"threshold": ThresholdParams(objective=objective), "method": "none"}
    chosen = [
        fit(*distorted(3000, 1, factor), factor, **params).scores.decisions
        for factor in (1.0, 2.0**7)
    ]
    assert (chosen[0] == chosen[1]).mean() > 0.999


def test_row_order_of_val_does_not_matter():
    logits, y = distorted(3000, 1, 7.5, 0.6)
    order = np.random.default_rng(0).permutation(3000)
    one, other = fit(logits, y, 7.5), fit(logits[order], y[order], 7.5)
    assert one.head.constants() == other.head.constants()
    assert (one.scores.probabilities == other.scores.probabilities).all()


@pytest.mark.parametrize("method", ["auto", "platt", "isotonic", "temperature"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_val_of_one_class_is_survived_and_said(method, label):
    logits, y = distorted(200, 1, 7.5)
    fitted = fit(logits, np.full_like(y, label), 7.5, kind="approximate", method=method)
    assert fitted.head.calibrate.method == "none"
    assert f"no row of class '{CLASSES[1 - label]}'" in fitted.reason
    assert fitted.head.point.threshold == 0.5


@pytest.mark.parametrize("method", ["auto", "isotonic", "temperature", "none"])
def test_a_multiclass_val_without_one_class_is_survived(method):
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(200, 3)), rng.integers(0, 2, 200)
    fitted = head.fit(
        logits,
        y,
        np.ones(200),
        ["a", "b", "c"],
        np.ones(3),
        "approximate",
        CalibratorParams(label="y", method=method),
    )
    assert np.isfinite(fitted.scores.probabilities).all()
    assert fitted.scores.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
