"""Metrics against scikit-learn called directly, formulas and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tfx_imbalance.components import metrics
from tfx_imbalance.components.metrics import BINARY_METRICS, Scores

PROPERTY = settings(deadline=None, max_examples=25)


def random_scores(n=400, n_classes=2, seed=0, weights=True, ties=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes)) - 0.8 * np.arange(n_classes)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if ties:
        p = np.round(p, 1) + 1e-3
        p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1).clip(max=n_classes - 1)
    return Scores(
        split="test",
        labels=labels,
        probabilities=p,
        decisions=(p * (1 + np.arange(n_classes))).argmax(axis=1),
        weights=rng.integers(0, 4, n).astype(float) if weights else np.ones(n),
        classes=tuple(f"class {k}" for k in range(n_classes)),
    )


def permuted(scores, order):
    return Scores(
        scores.split,
        scores.labels[order],
        scores.probabilities[order],
        scores.decisions[order],
        scores.weights[order],
        scores.classes,
    )


def test_binary_summary_is_scikit_learns_for_the_positive_class():
    s = random_scores()
    y, p, d, w = s.labels, s.probabilities[:, 1], s.decisions, {"sample_weight": s.weights}
    found = metrics.summary(s)
    recalls = [sk.recall_score(y, d, pos_label=k, **w) for k in (0, 1)]
    expected = {
        "auc": sk.roc_auc_score(y, p, **w),
        "auc_pr": sk.average_precision_score(y, p, **w),
        "recall": recalls[1],
        "precision": sk.precision_score(y, d, **w),
        "f1": sk.f1_score(y, d, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d, **w),
        "g_mean": np.sqrt(recalls[0] * recalls[1]),
        "mcc": sk.matthews_corrcoef(y, d, **w),
        "brier": sk.brier_score_loss(y, p, **w),
        "log_loss": sk.log_loss(y, p, **w),
    }
    assert tuple(found) == BINARY_METRICS
    assert {k: found[k] for k in expected} == pytest.approx(expected)


def test_multiclass_summary_is_scikit_learns_macro_average():
    s = random_scores(n_classes=4)
    y, p, d, w = s.labels, s.probabilities, s.decisions, {"sample_weight": s.weights}
    found = metrics.summary(s)
    one_hot = np.eye(4)[y]
    expected = {
        "auc": sk.roc_auc_score(y, p, multi_class="ovr", average="macro", **w),
        "auc_pr": sk.average_precision_score(one_hot, p, average="macro", **w),
        "recall": sk.recall_score(y, d, average="macro", **w),
        "precision": sk.precision_score(y, d, average="macro", **w),
        "f1": sk.f1_score(y, d, average="macro", **w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d, **w),
        "g_mean": np.prod(sk.recall_score(y, d, average=None, **w)) ** (1 / 4),
        "mcc": sk.matthews_corrcoef(y, d, **w),
        "brier": np.average(((p - one_hot) ** 2).sum(axis=1), weights=s.weights),
        "log_loss": sk.log_loss(y, p, **w),
    }
    assert tuple(found) == BINARY_METRICS
    assert {k: found[k] for k in expected} == pytest.approx(expected)


def test_per_class_and_confusion_are_scikit_learns():
    s = random_scores(n_classes=3)
    report = sk.classification_report(
        s.labels, s.decisions, output_dict=True, sample_weight=s.weights, zero_division=0
    )
    for k, (name, found) in enumerate(metrics.per_class(s).items()):
        assert name == s.classes[k]
        truth, p = s.labels == k, s.probabilities[:, k]
        assert found == pytest.approx(
            {
                "recall": report[str(k)]["recall"],
                "precision": report[str(k)]["precision"],
                "f1": report[str(k)]["f1-score"],
                "auc": sk.roc_auc_score(truth, p, sample_weight=s.weights),
                "auc_pr": sk.average_precision_score(truth, p, sample_weight=s.weights),
                "support": truth.sum(),
            }
        )
    expected = sk.confusion_matrix(s.labels, s.decisions, sample_weight=s.weights)
    assert metrics.confusion(s) == expected.tolist()


@PROPERTY
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 4), ties=st.booleans())
def test_a_weight_counts_as_that_many_rows(seed, n_classes, ties):
    weighted = random_scores(120, n_classes, seed, ties=ties)
    repeated = permuted(weighted, np.repeat(np.arange(120), weighted.weights.astype(int)))
    repeated.weights[:] = 1.0
    assert metrics.summary(weighted) == pytest.approx(metrics.summary(repeated), nan_ok=True)
    assert np.allclose(metrics.confusion(weighted), metrics.confusion(repeated))


@PROPERTY
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 4))
def test_row_order_does_not_matter(seed, n_classes):
    scores = random_scores(120, n_classes, seed, ties=True)
    order = np.random.default_rng(seed).permutation(120)
    assert metrics.summary(scores) == pytest.approx(
        metrics.summary(permuted(scores, order)), nan_ok=True
    )


def test_a_split_without_positives_is_nan_where_they_are_needed():
    s = random_scores(weights=False)
    found = metrics.summary(permuted(s, np.flatnonzero(s.labels == 0)))
    defined = {name for name, value in found.items() if not np.isnan(value)}
    assert defined == {"brier", "log_loss", "ece"}
    only = metrics.per_class(permuted(s, np.flatnonzero(s.labels == 0)))["class 1"]
    assert np.isnan([only[k] for k in ("recall", "f1", "auc", "auc_pr")]).all()
    assert (only["precision"], only["support"]) == (0, 0)


def test_macro_averages_run_over_the_classes_that_have_rows():
    s = random_scores(n_classes=3)
    without = permuted(s, np.flatnonzero(s.labels != 1))
    assert (without.decisions == 1).any()
    by_class = metrics.per_class(without)
    for name in ("auc", "auc_pr", "recall", "precision", "f1"):
        expected = np.mean([by_class["class 0"][name], by_class["class 2"][name]])
        assert metrics.summary(without)[name] == pytest.approx(expected)


def test_a_class_that_is_never_chosen_has_precision_and_f1_0():
    s = random_scores()
    s.decisions[:] = 0
    found = metrics.summary(s)
    assert (found["precision"], found["recall"], found["f1"], found["mcc"]) == (0, 0, 0, 0)


def test_no_rows_are_refused_by_the_splits_name():
    with pytest.raises(ValueError, match="split test has no rows"):
        metrics.summary(permuted(random_scores(), np.zeros(0, int)))


def test_ece_is_the_textbook_sum_over_equal_mass_bins():
    rng = np.random.default_rng(3)
    p, y = rng.permutation(np.linspace(0.01, 0.99, 150)), rng.uniform(size=150) < 0.3
    parts = np.split(np.argsort(p), 15)
    expected = np.mean([abs(p[part].mean() - y[part].mean()) for part in parts])
    assert metrics.reliability(p, y, np.ones(150)).ece == pytest.approx(expected)


def test_reliability_of_a_constant_score_is_one_bin():
    found = metrics.reliability(np.full(8, 0.25), np.arange(8) < 4, np.ones(8), bins=5)
    assert [part.tolist() for part in found] == [[0.25], [0.5], [8.0]]


def test_true_probabilities_have_an_ece_near_0_and_distorted_ones_do_not():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 8, 100_000)
    y = rng.uniform(size=len(p)) < p
    assert metrics.reliability(p, y, np.ones(len(p))).ece < 0.005
    assert metrics.reliability(5 * p / (1 + 4 * p), y, np.ones(len(p))).ece > 0.1


def test_multiclass_ece_is_the_mean_over_classes_and_agrees_with_binary():
    s = random_scores(n_classes=3)
    each = [
        metrics.reliability(s.probabilities[:, k], s.labels == k, s.weights).ece for k in range(3)
    ]
    assert metrics.ece(s) == pytest.approx(np.mean(each))
    two = random_scores(n=300, weights=False)
    negative = metrics.reliability(two.probabilities[:, 0], two.labels == 0, two.weights).ece
    assert metrics.ece(two) == pytest.approx(negative)


@pytest.mark.parametrize("ties", [False, True])
def test_every_point_of_a_curve_is_what_its_threshold_gives(ties):
    s = random_scores(60, ties=ties)
    y, p = s.labels == 1, s.probabilities[:, 1]
    pr, roc = metrics.pr_curve(s), metrics.roc_curve(s)
    total, negatives = s.weights[y].sum(), s.weights[~y].sum()
    for recall, precision, threshold in zip(*pr, strict=True):
        tp, fp = (s.weights[of & (p >= threshold)].sum() for of in (y, ~y))
        assert recall == pytest.approx(tp / total)
        assert precision == pytest.approx(tp / (tp + fp) if tp + fp else 1)
    for fpr, tpr, threshold in zip(*roc, strict=True):
        assert tpr == pytest.approx(s.weights[y & (p >= threshold)].sum() / total)
        assert fpr == pytest.approx(s.weights[~y & (p >= threshold)].sum() / negatives)
    assert np.isinf([pr.thresholds[0], roc.thresholds[0]]).all()
    assert sk.auc(roc.x, roc.y) == pytest.approx(metrics.summary(s)["auc"])


def test_a_curve_of_a_missing_class_is_none():
    s = random_scores()
    s.labels[:] = 0
    assert metrics.pr_curve(s) is None
    assert metrics.roc_curve(s) is None
