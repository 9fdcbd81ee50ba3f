"""AdaBoost.M2, whose trees see another sample in each round.

References: Freund and Schapire, "Experiments with a New Boosting Algorithm", ICML 1996, figure 2;
Friedman, Hastie and Tibshirani, "Additive Logistic Regression", Annals of Statistics 2000.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.tree import DecisionTreeClassifier

from ....errors import UserError
from ..base import Task
from .boost import LEAST_LOSS, stopped
from .committee import additive
from .data import Data, seeds
from .members import say_done


class Seen(NamedTuple):
    """What a tree is fitted on.

    Attributes:
      x: float32 [s, d].
      labels: int [s], class indices.
      weights: float64 [s].
    """

    x: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


Sample = Callable[[np.ndarray], Seen]
"""Of a round, by the weights float64 [n] of all rows in it, of mean 1."""


def boosted_m2(
    data: Data, samples: Iterable[Sample], rounds: int, depth: int, task: Task
) -> tf.Module:
    """The scorer. Class weights and sample weights are the first weights.

    Scores are the sums of log(1 / beta) h(x, y): the pseudo-loss is an exponential loss, whose
    minimiser is half the log of the probabilities, and M2 weighs h by half of log(1 / beta).

    Args:
      data: the rows that are boosted.
      samples: one a round.
      rounds: most trees; fewer where one is perfect, or no better than chance.
      depth: of each tree, at most.
      task: the seed, and parameters.

    Raises:
      UserError: the first tree is no better than chance.
    """
    n, k = len(data.labels), len(task.classes)
    of_row = np.arange(n), data.labels
    mislabels = np.tile(data.weights[:, None] / (data.weights.sum() * (k - 1)), (1, k))
    mislabels[of_row] = 0
    trees: list[DecisionTreeClassifier] = []
    leaves: list[np.ndarray] = []
    for seed, sample in zip(seeds(task, rounds), samples, strict=True):
        # Of mean 1 or so: a weight near 0 may round a gain away.
        seen = sample(mislabels.sum(axis=1) * n)
        tree = DecisionTreeClassifier(max_depth=depth, random_state=seed)
        tree.fit(seen.x, seen.labels, seen.weights)
        h = tree.predict_proba(data.x)
        margin = h[of_row][:, None] - h
        loss = float((mislabels * (1 - margin)).sum() / 2)
        if loss >= 0.5:
            break
        beta = max(loss, LEAST_LOSS) / (1 - loss)
        vote = -task.params.ensemble.learning_rate * float(np.log(beta))
        value = tree.tree_.value[:, 0]
        trees.append(tree)
        leaves.append(vote * value / value.sum(axis=1, keepdims=True))
        say_done(len(trees), rounds, task)
        if loss <= LEAST_LOSS:
            break
        mislabels *= np.exp(-vote / 2 * (1 + margin))
        mislabels /= mislabels.sum()
    if not trees:
        raise UserError(
            f"train.ensemble.max_depth: the first tree, of depth {depth}, is no better than chance "
            "on train; expected features that tell the classes apart; try a greater max_depth, or "
            "another train.learner"
        )
    stopped(len(trees), rounds, loss, task)
    return additive(trees, leaves, task)
