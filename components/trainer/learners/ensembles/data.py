"""Training rows as the ensembles see them."""

from dataclasses import dataclass

import numpy as np

from ...input import Rows
from .. import columns
from ..base import Effect, Task


@dataclass(frozen=True)
class Data:
    """Rows of some weight, and their matrix.

    Attributes:
      rows: those with a weight above 0; a row without is as good as left out.
      x: float32 [n, d], what trees split on.
      weights: float64 [n], class weight times sample weight, of mean 1.
      counts: int64 [n_classes], rows of each class, all above 0.
    """

    rows: Rows
    x: np.ndarray
    weights: np.ndarray
    counts: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int32 [n], class indices."""
        return self.rows.labels

    @property
    def smallest(self) -> int:
        """Rows of the smallest class."""
        return int(self.counts.min())


def prepared(train: Rows, task: Task) -> Data:
    """The rows that have a weight.

    Raises:
      UserError: a class has none of them.
    """
    rows = task.weighted_rows(train)
    counts = np.bincount(rows.labels, minlength=len(task.classes))
    weights = task.loss_weights(rows).astype(np.float64)
    return Data(rows, columns.matrix(rows, task.features), weights, counts)


def moved(task: Task, by: np.ndarray) -> Effect:
    """The effect of class weights and of sampling with the factors `by` float64 [n_classes].

    An average of balanced members, or a boosted score, is no longer a probability whose odds were
    moved by exactly that: hence approximate.
    """
    return Effect(task.class_weights * by, "approximate")


def balanced(data: Data, task: Task) -> Effect:
    """The effect of members that see as many rows of each class as the smallest class has."""
    return moved(task, data.smallest / data.counts)


def seeds(task: Task, n: int) -> list[int]:
    """n seeds below 2**31, drawn from the task's."""
    return [int(s) for s in np.random.SeedSequence(task.params.seed).generate_state(n) >> 1]


def seed32(task: Task) -> int:
    """The task's seed as scikit-learn takes it: as it is, below 2**32."""
    return task.params.seed % 2**32
