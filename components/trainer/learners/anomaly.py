"""What learners have in common that learn what is usual, and score how unusual a row is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from typing_extensions import Self

from ...errors import UserError
from ..input import Feature, Rows, pack
from .base import Effect, Task
from .columns import Columns


@dataclass(frozen=True)
class Usual:
    """The rows that anomalies are told from: those of one class, the largest of train.

    Attributes:
      code: index of that class.
      x: float32 [m, d], their columns.
      weights: float64 [m], their sample weights, all above 0.
      share: float64 [n_classes], each class's share of all rows, sample weights counted.
    """

    code: int
    x: np.ndarray
    weights: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, rows: Rows, task: Task, code: int | None = None) -> Self:
        """Of a split.

        Raises:
          UserError: it has no row of the class with a weight above 0.
        """
        mass = np.bincount(rows.labels, rows.weights, minlength=len(task.classes))
        if code is None:
            code = int(mass.argmax())
        if not mass[code]:
            raise UserError(
                f"train.learner {task.params.learner}: val has no row of class "
                f"{task.classes[code]!r}, the largest of train, with a weight above 0; use a "
                "larger split.val"
            )
        chosen = (rows.labels == code) & (rows.weights > 0)
        x = Columns(task.features).matrix(rows)[chosen]
        return cls(code, x, rows.weights[chosen].astype(np.float64), mass / mass.sum())


class AnomalyScorer(tf.Module):
    """Logits by how unusual a row is.

    The usual class has logit 0. The others share one score: where the score's place among those
    of usual rows passes as many of them as there are rows of other classes, the odds are even.
    Which of the other classes it is, the score does not say: that is their shares of train.

    Args:
      score: module(float32 [n, d]) -> float32 [n], larger for more unusual rows.
      usual: the rows it was fitted on.
      features: the model's inputs.
    """

    def __init__(
        self, score: Callable[[tf.Tensor], tf.Tensor], usual: Usual, features: Sequence[Feature]
    ) -> None:
        super().__init__()
        self._score = score
        self._features, self._columns = tuple(features), Columns(features)
        scores = in_blocks(score, usual.x).astype(np.float64)
        rare = 1 - usual.share[usual.code]
        mean = np.average(scores, weights=usual.weights)
        spread = np.sqrt(np.average((scores - mean) ** 2, weights=usual.weights))
        self._scale = np.float32(1 / max(spread, 1e-12))
        order = scores.argsort()
        below = usual.weights[order].cumsum() / usual.weights.sum()
        last = np.searchsorted(below, 1 - rare).clip(max=len(order) - 1)
        self._even = np.float32(scores[order[last]])
        others = np.log(np.maximum(usual.share, 1e-12) / max(rare, 1e-12))
        self._usual = np.arange(len(usual.share)) == usual.code
        self._others = np.where(self._usual, 0.0, others).astype(np.float32)

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        """float32 [n, n_classes] of transformed features."""
        return self.logits(self._columns(pack(columns, self._features)))

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n, n_classes] of x float32 [n, d]."""
        odds = (self._score(x) - self._even) * self._scale
        return tf.where(self._usual, 0.0, odds[:, None] + self._others)


BLOCK_ROWS = 8192


def in_blocks(score: Callable[[tf.Tensor], tf.Tensor], x: np.ndarray) -> np.ndarray:
    """float32 [n, ...] of x float32 [n, d], some thousand rows at a time."""
    starts = range(0, len(x), BLOCK_ROWS)
    return np.concatenate([np.asarray(score(tf.constant(x[i : i + BLOCK_ROWS]))) for i in starts])


def no_odds(task: Task) -> Effect:
    """A score of its own scale: no factor tells how the odds were moved."""
    return Effect(np.ones(len(task.classes)), "approximate")
