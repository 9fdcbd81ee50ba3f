"""Members combined in one module that scores."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from ...input import Feature, pack
from ..base import Task
from ..columns import Columns
from ..trees import Trees, TreeScorer
from .boost import samme_leaves
from .members import Member

SMALLEST = 1e-7
"""Probabilities are kept this far from 0, so that their log is finite."""

Combine = Literal["average", "vote"]


def committee(members: Sequence[Member], task: Task) -> tf.Module:
    """The scorer of members that are all of one sort, see `train.ensemble.combine`."""
    combine = task.params.ensemble.combine
    if isinstance(members[0], DecisionTreeClassifier):
        return forest(members, task)
    if isinstance(members[0], AdaBoostClassifier):
        trees = [tree for member in members for tree in member.estimators_]
        leaves = [leaf for member in members for leaf in samme_leaves(member)]
        group = np.repeat(np.arange(len(members)), [len(m.estimators_) for m in members])
        return _Trees(trees, leaves, group, task.features, combine)
    return _Modules(members, combine)


def forest(trees: Sequence[DecisionTreeClassifier], task: Task) -> tf.Module:
    """The scorer of a forest: log of the trees' mean probability, or of their votes' share."""
    leaves = []
    for tree in trees:
        value = tree.tree_.value[:, 0]
        share = value / value.sum(axis=1, keepdims=True)
        if task.params.ensemble.combine == "vote":
            share = np.eye(share.shape[1])[value.argmax(axis=1)]
        leaves.append(share / len(trees))
    return _Trees(trees, leaves, np.zeros(len(trees), np.int64), task.features, "shares")


def additive(
    trees: Sequence[DecisionTreeClassifier], leaves: Sequence[np.ndarray], task: Task
) -> tf.Module:
    """The scorer whose scores are sums of `leaves` float64 [nodes, n_classes] over the trees."""
    return _Trees(trees, leaves, np.zeros(len(trees), np.int64), task.features, "scores")


class _Trees(tf.Module):
    """Leaf values summed in each group, then combined over the groups.

    What the one group's sums are: 'shares' probabilities, 'scores' raw scores; of several groups
    each one's are a member's raw scores, which 'average' and 'vote' combine.
    """

    def __init__(
        self,
        trees: Sequence[DecisionTreeClassifier],
        leaves: Sequence[np.ndarray],
        group: np.ndarray,
        features: Sequence[Feature],
        combine: Literal["shares", "scores", "average", "vote"],
    ) -> None:
        super().__init__()
        self.trees = TreeScorer(Trees.of_sklearn([t.tree_ for t in trees], leaves), group)
        self._columns = Columns(features)
        self._features = tuple(features)
        self._combine = combine

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        sums = self.trees(self._columns(pack(columns, self._features)))
        if self._combine == "scores":
            return sums[:, 0]
        return _log(sums[:, 0]) if self._combine == "shares" else combined(sums, self._combine)


class _Modules(tf.Module):
    def __init__(self, members: Sequence[tf.Module], combine: Combine) -> None:
        super().__init__()
        self.members = list(members)
        self._combine: Combine = combine

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        scores = tf.stack([member(columns) for member in self.members], axis=1)
        return combined(scores, self._combine)


def combined(scores: tf.Tensor, combine: str) -> tf.Tensor:
    """float32 [n, n_classes]: log of the members' mean probability or of their votes' share.

    Args:
      scores: float32 [n, members, n_classes], raw scores of each.
      combine: 'average' or 'vote'.
    """
    if combine == "vote":
        shares = tf.one_hot(tf.argmax(scores, axis=2), scores.shape[2])
    else:
        shares = tf.nn.softmax(scores, axis=2)
    return _log(tf.reduce_mean(shares, axis=1))


def _log(shares: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(shares, SMALLEST))
