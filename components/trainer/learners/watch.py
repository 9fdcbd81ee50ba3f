"""Early stopping of a Keras model on val's AUC-PR."""

import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from ..input import Rows
from ..report import Epoch
from .base import Task
from .journal import Journal, goal

SCORE_ROWS = 4096


def raw_scores(model: keras.Model, rows: Rows) -> np.ndarray:
    """float32 [n, n_classes] of a model of (numbers, categories), thousands of rows at a time."""
    blocks = [
        (rows.numbers[i : i + SCORE_ROWS], rows.categories[i : i + SCORE_ROWS])
        for i in range(0, len(rows), SCORE_ROWS)
    ]
    return np.concatenate(
        [model(tuple(map(tf.constant, block)), training=False).numpy() for block in blocks]
    )


class Watch(keras.callbacks.Callback):
    """Scores val after each epoch, stops when its AUC-PR stops rising, restores the best weights.

    AUC-PR is as `Journal` has it; where val has no positive row, the loss decides.

    Attributes:
      best_epoch: counted from 1.
      best_weights: the model's, after that epoch.
    """

    def __init__(self, val: Rows, task: Task, epochs: int, patience: int) -> None:
        super().__init__()
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] = []
        self._val, self._patience = val, patience
        self._journal = Journal(val, task, epochs)
        self._start = 0.0

    @property
    def history(self) -> list[Epoch]:
        """One entry an epoch."""
        return self._journal.history

    @property
    def over(self) -> bool:
        """Whether the last epochs brought nothing better, so that training ends."""
        return len(self.history) - self.best_epoch >= self._patience

    def take_up(self, history: Sequence[Epoch], best_epoch: int, best: list[np.ndarray]) -> None:
        """Goes on where another process was: its history, and what it had as the best."""
        self.best_epoch, self.best_weights = best_epoch, best
        for done in history:
            self._journal.enter(done)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        done = self._journal.measured(
            epoch + 1,
            time.monotonic() - self._start,
            float((logs or {})["loss"]),
            softmax(raw_scores(self.model, self._val), axis=1),
        )
        if not self.best_weights or goal(done) > goal(self.history[self.best_epoch - 1]):
            self.best_epoch, self.best_weights = done.epoch, self.model.get_weights()
        self._journal.write(done)
        if self.over:
            self.model.stop_training = True

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._journal.close(self.history[self.best_epoch - 1])
