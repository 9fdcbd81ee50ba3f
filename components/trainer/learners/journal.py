"""What a learner that goes by epochs or rounds tells of them: history, progress, TensorBoard."""

import numpy as np
import tensorflow as tf

from ... import metrics, progress
from ...names import VAL
from ..input import Rows
from ..report import Epoch, Unit
from .base import Task

SHOWN_CLASSES = 8
"""Those with the lowest recall stand in the progress line."""


class Journal:
    """Figures on val.

    AUC-PR is scikit-learn's average precision, of the positive class, or macro one-vs-rest over
    the classes that val has; sample weights count, class weights do not.

    Args:
      val: the rows.
      task: for the classes' names, and where TensorBoard's files go.
      most: epochs or rounds at most.
      unit: 'epoch' or 'round'.

    Attributes:
      history: what was written.
    """

    def __init__(self, val: Rows, task: Task, most: int, unit: Unit = "epoch") -> None:
        self.history: list[Epoch] = []
        self._val, self._classes = val, task.classes
        self._most, self._unit = most, unit
        self._writer = tf.summary.create_file_writer(task.log_dir)

    def measured(
        self, number: int, seconds: float, train_loss: float, probabilities: np.ndarray
    ) -> Epoch:
        """An entry, not yet written.

        Args:
          number: of the epoch or round, from 1.
          seconds: that it took.
          train_loss: mean weighted log loss on train.
          probabilities: float [n, n_classes] on val.
        """
        val = self._val
        scores = metrics.Scores(
            VAL,
            val.labels.astype(np.int64),
            probabilities,
            probabilities.argmax(axis=1),
            val.weights.astype(np.float64),
            self._classes,
        )
        by_class = metrics.per_class(scores)
        auc_pr = [c["auc_pr"] for c in by_class.values()]
        auc_pr = [a for a in (auc_pr[1:] if len(auc_pr) == 2 else auc_pr) if np.isfinite(a)]
        return Epoch(
            epoch=number,
            seconds=seconds,
            train_loss=train_loss,
            val_loss=metrics.log_loss(scores),
            val_auc_pr=float(np.mean(auc_pr)) if auc_pr else float("nan"),
            val_recall={name: c["recall"] for name, c in by_class.items()},
        )

    def write(self, done: Epoch) -> None:
        """Enters and shows."""
        self.enter(done)
        shown = sorted(done.val_recall.items(), key=lambda item: item[1])[:SHOWN_CLASSES]
        recall = ", ".join(f"{name} {value:.2f}" for name, value in shown)
        progress.say(
            f"{self._unit} {done.epoch}/{self._most}  loss {done.train_loss:.4f}  "
            f"val AUC-PR {done.val_auc_pr:.4f}  recall {recall}"
            f"{', ...' if len(shown) < len(done.val_recall) else ''}"
        )

    def enter(self, done: Epoch) -> None:
        """Adds an entry to the history, and gives it to TensorBoard."""
        self.history.append(done)
        with self._writer.as_default(step=done.epoch):
            tf.summary.scalar("train/loss", done.train_loss)
            tf.summary.scalar("val/loss", done.val_loss)
            tf.summary.scalar("val/auc_pr", done.val_auc_pr)
            for name, value in done.val_recall.items():
                tf.summary.scalar(f"val/recall/{name}", value)

    def close(self, best: Epoch) -> None:
        """Says which entry was best, after the last one."""
        self._writer.close()
        progress.say(f"best {self._unit} {best.epoch}, val AUC-PR {best.val_auc_pr:.4f}")


def goal(done: Epoch) -> float:
    """What is to rise: AUC-PR, or where val has no positive row, the loss's negative."""
    return done.val_auc_pr if np.isfinite(done.val_auc_pr) else -done.val_loss
