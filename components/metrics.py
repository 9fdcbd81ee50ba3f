"""Metrics of a classifier's scores, by scikit-learn: one place for every figure users see.

Names are those of summary.json. All take arrays; a caller says on which split they were taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

BINARY_METRICS = (
    "auc",
    "auc_pr",
    "recall",
    "precision",
    "f1",
    "balanced_accuracy",
    "g_mean",
    "mcc",
    "brier",
    "log_loss",
    "ece",
)
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "ece"})


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
