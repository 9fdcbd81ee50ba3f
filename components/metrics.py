"""Metrics of a classifier's scores, by scikit-learn: one place for every figure users see.

Names are those of summary.json. All take arrays; a caller says on which split they were taken.
Sample weights count everywhere. NaN means undefined: a class has no rows (or no weight) in the
split. Then `summary` is NaN in what needs the class, and averages run over the classes that have
rows; with fewer than two of those, only brier, log_loss and ece are defined.

Conventions: recall, precision and f1 are 0 where the denominator is 0 and the class has rows.
`brier` of two classes is the mean of (p - y)^2 of the positive class; of more classes Brier's own
sum over classes (Brier, "Verification of Forecasts", 1950), which for two classes would be twice
as large. `ece` is over bins of equal mass, since equal widths put nearly all rows of imbalanced
data into one bin (Nguyen and O'Connor, "Posterior Calibration and Exploratory Analysis", EMNLP
2015); of more than two classes it is the mean of the one-vs-rest ECEs (classwise ECE, Kull et al.,
"Beyond Temperature Scaling", NeurIPS 2019). For two classes that mean is the binary figure itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
from sklearn import metrics as sk

from .names import Metric

BINARY_METRICS: tuple[str, ...] = get_args(Metric)
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "ece"})
ECE_BINS = 15


@dataclass(frozen=True)
class Scores:
    """A model's output on one split.

    Attributes:
      split: name of the split.
      labels: int64 [n], true class index.
      probabilities: float64 [n, n_classes], rows sum to 1.
      decisions: int64 [n], class index chosen at the operating point.
      weights: float64 [n], sample weights; ones where there are none.
      classes: class names in index order; binary: [negative, positive].
    """

    split: str
    labels: np.ndarray
    probabilities: np.ndarray
    decisions: np.ndarray
    weights: np.ndarray
    classes: Sequence[str]


class Curve(NamedTuple):
    """A curve over falling thresholds; all float64 of one length.

    PR: x recall, y precision. ROC: x false positive rate, y true positive rate. A point is what
    the rule 'probability >= threshold' gives; the first threshold, infinity, selects no row.
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray


class Reliability(NamedTuple):
    """A reliability curve: float64 [bins that have weight] each, by rising probability."""

    predicted: np.ndarray
    """Mean probability in the bin."""
    observed: np.ndarray
    """Share of the class in the bin."""
    weight: np.ndarray
    """Sum of the sample weights in the bin."""

    @property
    def ece(self) -> float:
        """Expected calibration error: the weighted mean of |observed - predicted|."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.weight))


def summary(scores: Scores) -> dict[str, float]:
    """Every metric of BINARY_METRICS: of the positive class for two classes, else macro averages.

    Raises:
      ValueError: the split has no rows or no weight.
    """
    classes = range(len(scores.classes))
    if not scores.weights.sum() > 0:
        raise ValueError(f"split {scores.split} has no rows to measure")
    by_class = [_one_vs_rest(scores, k) for k in classes]
    present = [k for k in classes if not np.isnan(by_class[k]["recall"])]
    averaged = [1] if len(classes) == 2 else present
    defined = len(present) >= 2

    def macro(name: str) -> float:
        return float(np.mean([by_class[k][name] for k in averaged])) if defined else float("nan")

    recalls = np.array([by_class[k]["recall"] for k in present])
    mcc = sk.matthews_corrcoef(scores.labels, scores.decisions, sample_weight=scores.weights)
    return {
        **{name: macro(name) for name in ("auc", "auc_pr", "recall", "precision", "f1")},
        "balanced_accuracy": float(recalls.mean()) if defined else float("nan"),
        "g_mean": float(recalls.prod() ** (1 / len(recalls))) if defined else float("nan"),
        "mcc": float(mcc) if defined else float("nan"),
        "brier": brier(scores),
        "log_loss": log_loss(scores),
        "ece": ece(scores),
    }


def per_class(scores: Scores) -> dict[str, dict[str, float]]:
    """class -> recall, precision, f1, auc, auc_pr (one-vs-rest) and support (rows).

    A class without rows has NaN in all but precision and support; precision counts its false
    alarms.
    """
    return {
        name: {**_one_vs_rest(scores, k), "support": float((scores.labels == k).sum())}
        for k, name in enumerate(scores.classes)
    }


def confusion(scores: Scores) -> list[list[float]]:
    """[n_classes][n_classes] summed weights: true class by decision."""
    return sk.confusion_matrix(
        scores.labels,
        scores.decisions,
        labels=range(len(scores.classes)),
        sample_weight=scores.weights,
    ).tolist()


def brier(scores: Scores) -> float:
    """Brier score; see the module's text for its two forms."""
    truth = scores.labels[:, None] == np.arange(len(scores.classes))
    squares = (scores.probabilities - truth) ** 2
    loss = squares[:, 1] if len(scores.classes) == 2 else squares.sum(axis=1)
    return float(np.average(loss, weights=scores.weights))


def log_loss(scores: Scores) -> float:
    """Mean negative log likelihood in nats."""
    # float32 rows sum to 1 only to 1e-7, at which scikit-learn warns.
    probabilities = scores.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = list(range(len(scores.classes)))
    return float(
        sk.log_loss(scores.labels, probabilities, sample_weight=scores.weights, labels=labels)
    )


def ece(scores: Scores, bins: int = ECE_BINS) -> float:
    """Expected calibration error; see the module's text for its form."""
    classes = range(len(scores.classes))
    return float(
        np.mean(
            [
                reliability(
                    scores.probabilities[:, k], scores.labels == k, scores.weights, bins
                ).ece
                for k in (classes[1:] if len(classes) == 2 else classes)
            ]
        )
    )


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, bins: int = ECE_BINS
) -> Reliability:
    """The reliability curve of one class.

    Args:
      probabilities: float [n], of the class.
      labels: bool or 0/1 [n], whether a row is of the class.
      weights: float [n], sample weights, not all 0.
      bins: how many, of equal mass.
    """
    index = equal_mass_bins(probabilities, weights, bins)
    mass, predicted, observed = (
        np.bincount(index, weights * value, minlength=bins)
        for value in (1.0, probabilities.astype(np.float64), labels.astype(np.float64))
    )
    used = mass > 0
    return Reliability(predicted[used] / mass[used], observed[used] / mass[used], mass[used])


def equal_mass_bins(probabilities: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """int64 [n] in [0, bins): bins of equal weight by rising probability; equal values share one.

    Args:
      probabilities: float [n].
      weights: float [n], not all 0.
      bins: how many.
    """
    values, inverse = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(inverse, weights, minlength=len(values))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.minimum((middle * bins).astype(np.int64), bins - 1)[inverse]


def pr_curve(scores: Scores, index: int = 1) -> Curve | None:
    """Precision over recall of one class against the rest; None where that is undefined."""
    truth = scores.labels == index
    if not _both(truth, scores.weights):
        return None
    precision, recall, thresholds = sk.precision_recall_curve(
        truth,
        scores.probabilities[:, index],
        sample_weight=scores.weights,
        drop_intermediate=True,
    )
    return Curve(recall[::-1], precision[::-1], np.append(thresholds, np.inf)[::-1])


def roc_curve(scores: Scores, index: int = 1) -> Curve | None:
    """True over false positive rate of one class against the rest; None where undefined."""
    truth = scores.labels == index
    if not _both(truth, scores.weights):
        return None
    return Curve(*sk.roc_curve(truth, scores.probabilities[:, index], sample_weight=scores.weights))


def _one_vs_rest(scores: Scores, index: int) -> dict[str, float]:
    truth, chosen = scores.labels == index, scores.decisions == index
    probability, weights = scores.probabilities[:, index], scores.weights
    nan = float("nan")
    present = bool(weights[truth].sum() > 0)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        truth, chosen, average="binary", sample_weight=weights, zero_division=0.0
    )
    return {
        "recall": float(recall) if present else nan,
        "precision": float(precision),
        "f1": float(f1) if present else nan,
        "auc": (
            float(sk.roc_auc_score(truth, probability, sample_weight=weights))
            if _both(truth, weights)
            else nan
        ),
        "auc_pr": (
            float(sk.average_precision_score(truth, probability, sample_weight=weights))
            if present
            else nan
        ),
    }


def _both(truth: np.ndarray, weights: np.ndarray) -> bool:
    """Whether a class and its rest both have weight."""
    return bool(weights[truth].sum() > 0 and weights[~truth].sum() > 0)
