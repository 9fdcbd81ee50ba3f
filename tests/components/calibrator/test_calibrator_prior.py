"""The prior correction restores what training on a distorted sample did to the probabilities."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tfx_imbalance.components import metrics
from tfx_imbalance.components.calibrator import prior
from tfx_imbalance.components.errors import UserError

PROPERTY = settings(deadline=None, max_examples=25)


def corrected(logits, factors):
    return np.exp(prior.correct(tf.constant(logits, tf.float64), np.array(factors)).numpy())


@PROPERTY
@given(ps=st.floats(0.001, 0.999), b=st.floats(0.001, 1))
def test_undersampling_is_dal_pozzolos_equation(ps, b):
    logits = np.log([[1 - ps, ps]])
    expected = b * ps / ((b - 1) * ps + 1)
    assert corrected(logits, [b, 1.0])[0, 1] == pytest.approx(expected, rel=1e-9)


@PROPERTY
@given(
    p=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    f=st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    scale=st.floats(0.01, 100),
)
def test_it_inverts_the_distortion_and_only_ratios_of_factors_matter(p, f, scale):
    p, f = np.array(p) / sum(p), np.array(f)
    q = f * p / (f @ p)
    assert corrected(np.log(q)[None] + 5.0, f * scale)[0] == pytest.approx(p)


def test_binary_correction_is_a_shift_of_the_logit():
    found = corrected([[0.0, 2.0]], [0.5, 4.0])[0, 1]
    assert found == pytest.approx(1 / (1 + np.exp(-(2.0 - np.log(8.0)))))


def test_factors_of_all_steps_are_multiplied_in_class_order():
    found = prior.combined_factors(["no", "yes"], {"yes": 6.0, "no": 1.0}, {"no": 0.5, "yes": 2.0})
    assert found.tolist() == [0.5, 12.0]
    assert prior.combined_factors(["a", "b"]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("factor", [0.0, float("inf"), float("nan")])
def test_a_removed_class_is_refused_by_name(factor):
    with pytest.raises(UserError, match="class 'yes' has the factor"):
        prior.combined_factors(["no", "yes"], {"no": 1.0, "yes": factor})


def population(n, seed, weights):
    """x [n, 2], labels, true posterior: softmax of a linear function."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    z = np.column_stack([np.ones(n), x]) @ np.array(weights).T
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return x, labels, p


BINARY = [[0, 0, 0], [-3, 1.5, -1]]
THREE = [[0, 0, 0], [-2, 1, -1], [-3.5, -1, 1.5]]


@pytest.mark.parametrize("truth", [BINARY, THREE], ids=["binary", "three classes"])
@pytest.mark.parametrize("how", ["undersampled", "oversampled", "weighted"])
def test_a_learner_on_distorted_data_is_calibrated_again(truth, how):
    x, y, _ = population(40_000, 1, truth)
    test_x, test_y, posterior = population(40_000, 2, truth)
    counts = np.bincount(y)
    rng = np.random.default_rng(0)
    weights = np.ones(len(y))
    if how == "weighted":
        factors = len(y) / counts / len(counts)
        rows, weights = np.arange(len(y)), factors[y]
    else:
        goal = counts.min() if how == "undersampled" else counts.max()
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(y == k), goal, replace=how == "oversampled")
                for k in range(len(counts))
            ]
        )
        factors = goal / counts
    model = LogisticRegression(C=1e6).fit(x[rows], y[rows], sample_weight=weights[rows])
    plain = LogisticRegression(C=1e6).fit(x, y)

    def scores(p):
        classes = tuple("abc"[: len(counts)])
        return metrics.Scores("test", test_y, p, p.argmax(1), np.ones(len(test_y)), classes)

    raw = model.predict_proba(test_x)
    found = corrected(np.log(raw), factors)
    prevalence = np.bincount(test_y) / len(test_y)
    assert abs(raw.mean(axis=0) / prevalence - 1).max() > 0.5
    assert abs(found.mean(axis=0)[1:] / prevalence[1:] - 1).max() < 0.06
    assert metrics.ece(scores(raw)) > 0.05
    assert metrics.ece(scores(found)) < 0.01
    assert abs(found - posterior).mean() < 0.01
    assert metrics.brier(scores(found)) <= 1.02 * metrics.brier(scores(plain.predict_proba(test_x)))
