"""Isolation forest, by scikit-learn.

Reference: Liu, Ting and Zhou, "Isolation Forest", ICDM 2008: c(n) is eq. 1, the score eq. 2.
"""

import numpy as np
import tensorflow as tf
from sklearn.ensemble import IsolationForest

from ..devices import cpu
from ..input import Rows
from .anomaly import AnomalyScorer, Usual, no_odds
from .base import Fitted, Task
from .trees import Trees, TreeScorer


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Learns how soon random splits isolate a row of the largest class.

    Sample weights are given to scikit-learn's trees; other classes are not looked at.
    """
    params = task.params.isolation_forest
    usual = Usual.of(train, task)
    forest = IsolationForest(
        n_estimators=params.trees,
        max_samples=min(params.rows, len(usual.x)),
        random_state=task.params.seed % 2**32,
        n_jobs=1,
    ).fit(usual.x, sample_weight=usual.weights)
    scorer = AnomalyScorer(Isolation(forest), usual, task.features)
    return Fitted(scorer, effect=no_odds(task), device=cpu())


class Isolation(tf.Module):
    """-E[h(x)] / c(rows of a tree), which is the logarithm of the published score, to base 2."""

    def __init__(self, forest: IsolationForest) -> None:
        super().__init__()
        trees = [member.tree_ for member in forest.estimators_]
        leaves = [
            (tree.compute_node_depths() - 1 + path_length(tree.n_node_samples))[:, None]
            for tree in trees
        ]
        self._trees = TreeScorer(Trees.of_sklearn(trees, leaves), np.zeros(len(trees), np.int32))
        self._unit = np.float32(len(trees) * path_length(np.array([forest.max_samples_]))[0])

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] -> float32 [n]."""
        return -self._trees(x)[:, 0, 0] / self._unit


def path_length(n: np.ndarray) -> np.ndarray:
    """float64: c(n), the mean length of an unsuccessful search in a search tree of n rows."""
    many = np.maximum(n, 2).astype(np.float64)
    length = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(n > 2, length, np.where(n == 2, 1.0, 0.0))
