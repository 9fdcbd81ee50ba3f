"""What Tuner found."""

from typing import Any, ClassVar, Literal

from ..names import Metric
from ..report import Report

Status = Literal["completed", "pruned", "failed"]


class FoldScore(Report):
    """One fit, judged on rows that it did not see."""

    schema_name: ClassVar[str] = "fold_score"

    metrics: dict[str, float]
    """Every metric of summary.json, of the softmax of the raw scores; decisions by arg max."""
    rows: int
    """As the learner saw them: after rebalancing."""
    best_epoch: int | None
    seconds: float


class Trial(Report):
    """One set of hyperparameters."""

    schema_name: ClassVar[str] = "trial"

    number: int
    """From 1."""
    status: Status
    hyperparameters: dict[str, Any]
    """path -> value."""
    folds: list[FoldScore]
    """As far as it went."""
    mean: float | None
    """Of the metric over these folds."""
    std: float | None
    """Standard deviation over these folds (n - 1); None for fewer than two."""
    message: str = ""
    """Why it was stopped or failed."""


class OuterFold(Report):
    """One outer fold: a search within the others, its winner judged on this one."""

    schema_name: ClassVar[str] = "outer_fold"

    hyperparameters: dict[str, Any]
    inner_mean: float
    """Of the metric, as that search saw its winner."""
    score: FoldScore


class Nested(Report):
    """Nested cross-validation (Varma and Simon, "Bias in error estimation when using
    cross-validation for model selection", BMC Bioinformatics 2006)."""

    schema_name: ClassVar[str] = "nested"

    mean: dict[str, float]
    std: dict[str, float]
    folds: list[OuterFold]


class Tuning(Report):
    """Content of a TuningReport artifact. Everything is about the train split."""

    schema_name: ClassVar[str] = "tuning_report"

    learner: str
    metric: Metric
    lower_is_better: bool
    oracle: str
    seed: int
    space: dict[str, Any]
    """path -> choices or range."""
    fold_counts: list[dict[str, int]]
    """For each fold class -> rows."""
    grouped: bool
    """Whether rows of one group of data.group_by stayed in one fold."""
    trials: list[Trial]
    best: int
    """Number of the best trial."""
    hyperparameters: dict[str, Any]
    """The best trial's."""
    mean: dict[str, float]
    """metric -> mean over the best trial's folds. Being the best of several it is optimistic."""
    std: dict[str, float]
    """metric -> standard deviation over the best trial's folds."""
    nested: Nested | None
    """An estimate without that optimism, where it was asked for."""
    stopped: Literal["trials", "seconds", "space exhausted"]
    """What ended the search."""
    resumed_folds: int
    """Fits that an earlier run of the same search had done."""
    seconds: float
    """Of all fits, those of earlier runs included."""
