"""A run in figures: the content of summary.json."""

from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from ..gate.report import GateResult
from ..report import Report

Outcome = Literal["pushed", "unchanged", "not blessed", "data check failed", "failed", "user error"]
Figures = dict[str, float | None]
"""Name -> value; None where it is undefined, such as the AUC of a split with one class."""


class SplitMetrics(Report):
    """The metrics of one split, each at or over the operating point; macro averages where there
    are more than two classes."""

    schema_name: ClassVar[str] = "split_metrics"

    auc: float | None
    auc_pr: float | None
    recall: float | None
    precision: float | None
    f1: float | None
    balanced_accuracy: float | None
    g_mean: float | None
    mcc: float | None
    brier: float | None
    log_loss: float | None
    ece: float | None
    per_class: dict[str, Figures]
    """class -> its metrics, one class against the rest."""


class SliceSummary(Report):
    """TFMA's metrics on one slice of test."""

    schema_name: ClassVar[str] = "slice_summary"

    examples: float
    positives: float
    metrics: Figures


class TuningSummary(Report):
    """The search before training, by cross-validation within train."""

    schema_name: ClassVar[str] = "tuning_summary"

    metric: str
    """By which trials were compared."""
    folds: int
    trials: int
    best: int
    """Number of the best trial."""
    hyperparameters: dict[str, Any]
    """path -> value of the best trial, which Trainer took."""
    mean: Figures
    """Over the best trial's folds; optimistic, as it is the best of several."""
    std: Figures
    nested_mean: Figures | None
    """Over outer folds that their searches did not see; null where that was not asked for."""
    nested_std: Figures | None


class RunError(Report):
    """What ended the run before its end."""

    schema_name: ClassVar[str] = "run_error"

    node: str
    """Where, such as 'Trainer' or 'config'."""
    message: str


class Summary(Report):
    """Content of summary.json, written whatever the outcome. What the run did not reach is null
    or empty. NaN and infinity are null."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")

    schema_name: ClassVar[str] = "summary"

    name: str
    run_id: str
    outcome: Outcome
    message: str
    """The outcome's reason, in words."""
    blessed: bool | None
    """None where no gate was reached."""
    threshold: float | None
    """Binary: the decision is positive where the probability is at least this."""
    metrics: dict[str, SplitMetrics]
    """val, test -> metrics. Val served early stopping, calibration and threshold, so its figures
    are optimistic."""
    slices: dict[str, SliceSummary]
    """'column=value' -> its metrics on test; the whole of test is not among them."""
    class_counts: dict[str, dict[str, int]]
    """split -> class -> rows; `rebalanced` is train as the learner saw it."""
    tuning: TuningSummary | None = None
    gates: list[GateResult]
    timings: dict[str, float]
    """node -> seconds."""
    cached: list[str]
    """The nodes whose outputs came from TFX's cache."""
    versions: dict[str, str]
    seed: int | None
    device: str | None
    drift: str | None
    """DriftCheck's verdict."""
    champion: str | None
    """Version of the model that the candidate was compared with."""
    pushed_path: str | None
    error: RunError | None
