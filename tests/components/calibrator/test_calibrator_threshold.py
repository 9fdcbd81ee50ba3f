"""The operating point against brute force and decision theory."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tfx_imbalance.components.calibrator import threshold
from tfx_imbalance.components.calibrator.params import ThresholdParams
from tfx_imbalance.components.errors import UserError

PROPERTY = settings(deadline=None, max_examples=25)
COSTS = {"no": {"yes": 1.0}, "yes": {"no": 7.0, "yes": 0.5}}
OBJECTIVES = {
    "f_beta": ThresholdParams(objective="f_beta", beta=2.0),
    "balanced_accuracy": ThresholdParams(objective="balanced_accuracy"),
    "expected_cost": ThresholdParams(objective="expected_cost", cost_matrix=COSTS),
    "recall_at_precision": ThresholdParams(objective="recall_at_precision", precision=0.4),
    "precision_at_recall": ThresholdParams(objective="precision_at_recall", recall=0.7),
}


def sample(seed, n=50, digits=2):
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 3, n), digits).astype(np.float32)
    y = (rng.uniform(size=n) < p).astype(np.int64)
    y[:2] = [0, 1]
    return np.stack([1 - p, p], axis=1), y, rng.integers(1, 4, n).astype(float)


def value_of(params, decisions, y, w):
    """The objective (higher is better) of a decision on each row; None where out of bounds."""
    kwargs = {"sample_weight": w, "zero_division": 0}
    recall, precision = (
        sk.recall_score(y, decisions, **kwargs),
        sk.precision_score(y, decisions, **kwargs),
    )
    if params.objective == "f_beta":
        return sk.fbeta_score(y, decisions, beta=params.beta, **kwargs)
    if params.objective == "balanced_accuracy":
        return sk.balanced_accuracy_score(y, decisions, sample_weight=w)
    if params.objective == "expected_cost":
        costs = np.array([[0, 1.0], [7.0, 0.5]])
        return -np.average(costs[y, decisions], weights=w)
    if params.objective == "recall_at_precision":
        return recall if precision >= params.precision - 1e-12 else None
    return precision if recall >= params.recall - 1e-12 else None


@PROPERTY
@given(seed=st.integers(0, 10_000), objective=st.sampled_from(sorted(OBJECTIVES)))
def test_no_threshold_is_better_on_val(seed, objective):
    p, y, w = sample(seed)
    params = OBJECTIVES[objective]
    rules = [0.0, *np.unique(p[:, 1]), 2.0]
    values = [value_of(params, (p[:, 1] >= t).astype(int), y, w) for t in rules]
    reached = [v for v in values if v is not None]
    found = threshold.choose(params, p, y, w, ["no", "yes"])
    decisions = found.decide(tf.constant(p)).numpy()
    if reached:
        assert value_of(params, decisions, y, w) == pytest.approx(max(reached))
        assert abs(found.value) == pytest.approx(abs(max(reached)))
        assert not found.warnings


@PROPERTY
@given(seed=st.integers(0, 10_000), objective=st.sampled_from(sorted(OBJECTIVES)))
def test_the_threshold_lies_between_scores_and_says_what_the_matrix_says(seed, objective):
    p, y, w = sample(seed)
    found = threshold.choose(OBJECTIVES[objective], p, y, w, ["no", "yes"])
    # 0: all rows are positive, one of score 0 among them.
    assert found.threshold == 0 or found.threshold not in p[:, 1]
    by_matrix = (p.astype(np.float64) @ found.matrix).argmax(axis=1)
    assert (by_matrix == (p[:, 1] >= found.threshold)).all()
    assert (found.decide(tf.constant(p)).numpy() == by_matrix).all()


@PROPERTY
@given(seed=st.integers(0, 10_000), objective=st.sampled_from(sorted(OBJECTIVES)))
def test_row_order_does_not_matter(seed, objective):
    p, y, w = sample(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    one = threshold.choose(OBJECTIVES[objective], p, y, w, ["no", "yes"])
    other = threshold.choose(OBJECTIVES[objective], p[order], y[order], w[order], ["no", "yes"])
    assert one.threshold == other.threshold


def test_the_first_rule_selects_nothing_and_the_last_everything():
    positive = np.array([0.0, 0.5, 1.0, 1.0])
    thresholds, tp, fp = threshold.sweep(positive, np.array([0, 1, 0, 1]), np.ones(4))
    selected = [(positive >= t).sum() for t in thresholds]
    assert selected == [0, 2, 3, 4]
    assert (tp + fp).tolist() == selected
    assert tp.tolist() == [0, 1, 2, 2]


def test_neighbouring_float32_scores_are_told_apart():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    p = np.array([[1 - low, low], [1 - high, high]], np.float32)
    found = threshold.choose(ThresholdParams(), p, np.array([0, 1]), np.ones(2), ["no", "yes"])
    assert found.decide(tf.constant(p)).numpy().tolist() == [0, 1]


def test_an_unattainable_precision_takes_the_closest_and_says_so():
    p, y, w = sample(0)
    p[:, 1] = np.linspace(0.1, 0.9, len(y))
    y[:], y[0], y[40] = 0, 1, 1
    params = ThresholdParams(objective="recall_at_precision", precision=0.9)
    found = threshold.choose(params, p, y, w, ["no", "yes"])
    precisions = [
        sk.precision_score(y, p[:, 1] >= t, sample_weight=w, zero_division=0) for t in p[:, 1]
    ]
    chosen = found.decide(tf.constant(p)).numpy()
    assert sk.precision_score(y, chosen, sample_weight=w) == pytest.approx(max(precisions))
    assert "no threshold reaches precision 0.9 on val" in found.warnings[0]


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_missing_in_val_leaves_the_threshold_at_one_half(label):
    p, y, w = sample(0)
    y[:] = label
    found = threshold.choose(ThresholdParams(), p, y, w, ["no", "yes"])
    assert found.threshold == 0.5
    assert np.isnan(found.value)
    assert f"val has no row of class '{['yes', 'no'][label]}'" in found.warnings[0]


def multiclass(seed, n=60, n_classes=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.array([6, 2, 0.7])[:n_classes], n)
    y = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return p.astype(np.float32), y, rng.integers(1, 4, n).astype(float)


CLASSES = ["a", "b", "c"]


@PROPERTY
@given(seed=st.integers(0, 10_000), beta=st.sampled_from([0.5, 1.0, 2.0]))
def test_macro_f_is_never_below_the_arg_maxs_and_no_single_weight_improves_it(seed, beta):
    p, y, w = multiclass(seed)

    def macro_f(decisions):
        labels = np.unique(y)
        return sk.fbeta_score(
            y,
            decisions,
            beta=beta,
            labels=labels,
            average="macro",
            sample_weight=w,
            zero_division=0,
        )

    found = threshold.choose(ThresholdParams(beta=beta), p, y, w, CLASSES)
    decisions = found.decide(tf.constant(p)).numpy()
    value = macro_f(decisions)
    assert found.threshold is None
    assert found.value == pytest.approx(value)
    assert value >= macro_f(p.argmax(axis=1)) - 1e-12
    factors = np.diag(found.matrix)
    for k, factor in itertools.product(range(3), np.geomspace(0.05, 20, 15)):
        trial = factors.copy()
        trial[k] *= factor
        assert macro_f((p * trial).argmax(axis=1)) <= value + 1e-9


def test_macro_f_ascent_finds_a_minority_that_the_arg_max_never_chooses():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [900, 80, 20])
    score = np.where(y == 2, 0.3, 0.05) + rng.uniform(0, 0.05, 1000)
    p = np.stack([0.9 * (1 - score), 0.1 * (1 - score), score], axis=1).astype(np.float32)
    found = threshold.choose(ThresholdParams(), p, y, np.ones(1000), CLASSES)
    decisions = found.decide(tf.constant(p)).numpy()
    assert (p.argmax(axis=1) == 0).all()
    assert sk.f1_score(y, decisions, average=None)[2] == 1.0


def test_multiclass_expected_cost_is_the_bayes_decision():
    costs = {
        a: {b: 0.0 if a == b else float(1 + CLASSES.index(a) ** 3) for b in CLASSES}
        for a in CLASSES
    }
    p, y, w = multiclass(1)
    params = ThresholdParams(objective="expected_cost", cost_matrix=costs)
    found = threshold.choose(params, p, y, w, CLASSES)
    matrix = np.array([[costs[a][b] for b in CLASSES] for a in CLASSES])
    bayes = (p.astype(np.float64) @ matrix).argmin(axis=1)
    assert (found.decide(tf.constant(p)).numpy() == bayes).all()
    assert found.value == pytest.approx(np.average(matrix[y, bayes], weights=w))


def test_multiclass_balanced_accuracy_divides_by_the_prior():
    p, y, w = multiclass(2, n=4000)
    params = ThresholdParams(objective="balanced_accuracy")
    found = threshold.choose(params, p, y, w, CLASSES)
    decisions = found.decide(tf.constant(p)).numpy()
    assert 1 / np.diag(found.matrix) == pytest.approx(np.bincount(y, w) / w.sum(), rel=0.1)
    reached = sk.balanced_accuracy_score(y, decisions, sample_weight=w)
    assert found.value == pytest.approx(reached)
    assert reached > sk.balanced_accuracy_score(y, p.argmax(axis=1), sample_weight=w) + 0.05


@pytest.mark.parametrize("objective", ["f_beta", "balanced_accuracy"])
def test_a_class_missing_in_multiclass_val_does_not_matter(objective):
    p, y, w = multiclass(3)
    y[y == 2] = 0
    found = threshold.choose(ThresholdParams(objective=objective), p, y, w, CLASSES)
    assert np.isfinite(found.matrix).all()
    assert 0 < found.value <= 1


@pytest.mark.parametrize("objective", threshold.BINARY_ONLY)
def test_objectives_for_two_classes_are_refused_on_more_by_their_config_path(objective):
    params = ThresholdParams(objective=objective, precision=0.5, recall=0.5)
    with pytest.raises(UserError, match=r"calibrate.threshold.objective: .*two classes, found 3"):
        threshold.check(params, CLASSES)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"no": {"yes": 1.0}}, r"calibrate.threshold.cost_matrix.yes.no: .*found None"),
        ({"no": {"maybe": 1.0}}, r"unknown class 'maybe'; classes are \['no', 'yes'\]"),
        ({"no": {"yes": float("nan")}, "yes": {"no": 1.0}}, r"cost_matrix.no.yes: .*found nan"),
    ],
)
def test_a_cost_matrix_that_does_not_fit_is_named(matrix, message):
    params = ThresholdParams(objective="expected_cost", cost_matrix=matrix)
    with pytest.raises(UserError, match=message):
        threshold.check(params, ["no", "yes"])
