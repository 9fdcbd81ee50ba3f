"""What every learner takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ..devices import Devices
from ..input import Feature, Rows
from ..params import TrainerParams
from ..report import Epoch


@dataclass(frozen=True)
class Task:
    """All that a learner is told beside the rows.

    Attributes:
      features: the model's inputs.
      classes: class names in index order.
      class_weights: float64 [n_classes], each class's weight in the loss.
      params: what the user said.
      devices: what to compute on.
      log_dir: for TensorBoard.
    """

    features: Sequence[Feature]
    classes: Sequence[str]
    class_weights: np.ndarray
    params: TrainerParams
    devices: Devices
    log_dir: str

    def loss_weights(self, rows: Rows) -> np.ndarray:
        """float32 [n], class weight times sample weight, scaled to mean 1."""
        weights = self.class_weights[rows.labels] * rows.weights
        return (weights / weights.mean()).astype(np.float32)


@dataclass(frozen=True)
class Fitted:
    """A trained learner.

    Attributes:
      scorer: module(dict of transformed feature name -> tensor) -> float32 [n, n_classes], raw
        scores whose softmax are the probabilities as trained.
      history: one entry an epoch; empty for learners without epochs.
      best_epoch: the one whose weights `scorer` has, counted from 1.
    """

    scorer: tf.Module
    history: list[Epoch]
    best_epoch: int | None
