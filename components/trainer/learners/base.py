"""What every learner takes and gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ...errors import UserError
from ...report import Kind
from ..devices import Devices
from ..input import Feature, Rows
from ..params import TrainerParams
from ..report import Epoch, Unit
from .warm_start import Network


@dataclass(frozen=True)
class Effect:
    """What training did to the class prior, beyond what Rebalancer did.

    Attributes:
      factors: float64 [n_classes], by which each class's odds were moved; Calibrator undoes their
        ratios analytically.
      kind: see `Kind`: 'approximate' where factors do not tell all, so that Calibrator has to fit
        a map on val, too.
    """

    factors: np.ndarray
    kind: Kind


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
      state_dir: folder that outlives the process, for the state of training; None for none.
      start: what to start from; None to start afresh.
    """

    features: Sequence[Feature]
    classes: Sequence[str]
    class_weights: np.ndarray
    params: TrainerParams
    devices: Devices
    log_dir: str
    state_dir: str | None = None
    start: Network | None = None

    def weighted(self) -> Effect:
        """The effect of the class weights in a loss that is a mean of weighted log losses."""
        return Effect(self.class_weights, "prior_only" if np.ptp(self.class_weights) else "none")

    def weighted_rows(self, train: Rows) -> Rows:
        """The rows of a weight above 0.

        Raises:
          UserError: a class has none of them.
        """
        rows = train.take(train.weights > 0)
        counts = np.bincount(rows.labels, minlength=len(self.classes))
        if not counts.all():
            raise UserError(
                f"train.learner {self.params.learner}: found no row of class "
                f"{self.classes[int(counts.argmin())]!r} with a weight above 0 in train, expected "
                "at least one of each class; add rows of it, or leave the class out of the data"
            )
        return rows

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
      history: one entry an epoch or round; empty for learners without any.
      best_epoch: the one whose weights `scorer` has, counted from 1.
      effect: what the learner did to the class prior; None where it did nothing but weight the
        loss, see `Task.weighted`.
      device: what it computed on, where that is not `task.devices`.
      batch_size: rows a step; None for learners without steps.
      resumed_epochs: epochs of an earlier process that was interrupted.
      network: what a later training may start from.
      unit: what `history` counts.
    """

    scorer: tf.Module
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int | None = None
    effect: Effect | None = None
    device: str | None = None
    batch_size: int | None = None
    resumed_epochs: int = 0
    network: Network | None = None
    unit: Unit = "epoch"
