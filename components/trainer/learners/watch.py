"""Early stopping on val's AUC-PR, with progress, history and TensorBoard."""

import time
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from ... import metrics, progress
from ...names import VAL
from ..input import Rows
from ..report import Epoch
from .base import Task

SCORE_ROWS = 4096
SHOWN_CLASSES = 8
"""Those with the lowest recall stand in the progress line."""


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

    AUC-PR is scikit-learn's average precision, of the positive class, or macro one-vs-rest over
    the classes that val has; sample weights count, class weights do not. Where val has no
    positive row, the loss decides.

    Attributes:
      history: one entry an epoch.
      best_epoch: counted from 1.
      best_weights: the model's, after that epoch.
    """

    def __init__(self, val: Rows, task: Task, epochs: int, patience: int) -> None:
        super().__init__()
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] = []
        self._val, self._task = val, task
        self._epochs, self._patience = epochs, patience
        self._best, self._start = -np.inf, 0.0
        self._writer = tf.summary.create_file_writer(task.log_dir)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        done = self._measured(epoch + 1, float((logs or {})["loss"]))
        self.history.append(done)
        goal = done.val_auc_pr if np.isfinite(done.val_auc_pr) else -done.val_loss
        if goal > self._best or not self.best_weights:
            self._best, self.best_epoch = goal, done.epoch
            self.best_weights = self.model.get_weights()
        elif done.epoch - self.best_epoch >= self._patience:
            self.model.stop_training = True
        self._tell(done)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._writer.close()
        progress.say(f"best epoch {self.best_epoch}, val AUC-PR {self._best:.4f}")

    def _measured(self, epoch: int, train_loss: float) -> Epoch:
        val = self._val
        probabilities = softmax(raw_scores(self.model, val), axis=1)
        scores = metrics.Scores(
            VAL,
            val.labels.astype(np.int64),
            probabilities,
            probabilities.argmax(axis=1),
            val.weights.astype(np.float64),
            self._task.classes,
        )
        by_class = metrics.per_class(scores)
        auc_pr = [c["auc_pr"] for c in by_class.values()]
        auc_pr = [a for a in (auc_pr[1:] if len(auc_pr) == 2 else auc_pr) if np.isfinite(a)]
        return Epoch(
            epoch=epoch,
            seconds=time.monotonic() - self._start,
            train_loss=train_loss,
            val_loss=metrics.log_loss(scores),
            val_auc_pr=float(np.mean(auc_pr)) if auc_pr else float("nan"),
            val_recall={name: c["recall"] for name, c in by_class.items()},
        )

    def _tell(self, done: Epoch) -> None:
        shown = sorted(done.val_recall.items(), key=lambda item: item[1])[:SHOWN_CLASSES]
        recall = ", ".join(f"{name} {value:.2f}" for name, value in shown)
        progress.say(
            f"epoch {done.epoch}/{self._epochs}  loss {done.train_loss:.4f}  "
            f"val AUC-PR {done.val_auc_pr:.4f}  recall {recall}"
            f"{', ...' if len(shown) < len(done.val_recall) else ''}"
        )
        with self._writer.as_default(step=done.epoch):
            tf.summary.scalar("train/loss", done.train_loss)
            tf.summary.scalar("val/loss", done.val_loss)
            tf.summary.scalar("val/auc_pr", done.val_auc_pr)
            for name, value in done.val_recall.items():
                tf.summary.scalar(f"val/recall/{name}", value)
