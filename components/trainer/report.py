"""What Trainer did."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from ..report import Kind, Report

Unit = Literal["epoch", "round"]


class Epoch(Report):
    """One epoch, or round of boosting; val figures are on the val split."""

    schema_name: ClassVar[str] = "epoch"
    epoch: int
    seconds: float
    train_loss: float
    val_loss: float
    val_auc_pr: float
    val_recall: dict[str, float]
    """class -> recall on val by the arg max of the raw scores."""


class LearnerRun(Report):
    """What our run_fn tells about itself, in RUN_FILE of the ModelRun artifact."""

    schema_name: ClassVar[str] = "learner_run"

    device: str
    """For people, such as 'CPU (2 cores)' or '2 x NVIDIA H100'."""
    mixed_precision: bool
    rows: int
    batch_size: int | None = None
    """Rows a step, fewer than asked for where memory was short; None for learners without steps."""
    resumed_epochs: int = 0
    """Epochs that were taken over from a run that was interrupted."""
    warm_start: str | None = None
    """What it started from, or why it started afresh; None where it was not to."""
    unit: Unit = "epoch"
    """What `history` counts."""
    best_epoch: int | None
    history: list[Epoch]
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    """path -> value, of those that a HyperParameters artifact gave; empty where there was none."""
    factors: dict[str, float]
    """class -> factor by which training moved the odds of the class; only ratios matter."""
    kind: Kind


class Training(LearnerRun):
    """Content of a TrainingReport artifact."""

    schema_name: ClassVar[str] = "training_report"

    learner: str
    """Name of the learner, or the dotted name of the user's run_fn."""
    class_weights: dict[str, float]
    """class -> weight in the loss, in class order; all 1 where none were asked for."""
    seconds: float


RUN_FILE = "training.json"
