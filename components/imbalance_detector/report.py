"""What ImbalanceDetector found."""

from typing import ClassVar, Literal

from ..example_gen.notes import Identity
from ..report import Report
from .params import Severity


class Check(Report):
    """One condition, in words."""

    schema_name: ClassVar[str] = "check"
    name: str
    level: Literal["ok", "warn", "fail"]
    message: str


class SliceCounts(Report):
    """Class counts where `column` has `value`, on one split."""

    schema_name: ClassVar[str] = "slice_counts"
    split: str
    column: str
    value: str
    counts: dict[str, int]


class Recommendation(Report):
    """What to try first, and why."""

    schema_name: ClassVar[str] = "recommendation"
    technique: str
    reasons: list[str]


class Imbalance(Report):
    """Content of an ImbalanceReport artifact. All shares lie in [0, 1]; figures are of train
    unless a split is named."""

    schema_name: ClassVar[str] = "imbalance_report"

    label: str
    classes: list[str]
    """The class order that every later component uses. Binary: [negative, positive]."""
    positive: str | None
    """The positive class; None for more than two classes."""
    counts: dict[str, dict[str, int]]
    """split -> class -> rows."""
    unlabelled: dict[str, int]
    """split -> rows without a label."""
    majority: str
    minority: str
    minority_share: float
    imbalance_ratio: float
    """Rows of the largest class by rows of the smallest."""
    normalized_entropy: float
    """Entropy of the class shares by log(number of classes): 1 is balanced."""
    severity: Severity
    prior_shift: dict[str, float]
    """split -> total variation distance of its class shares to train's."""
    slices: list[SliceCounts]
    class_weights: dict[str, float]
    """By the configured scheme, from train's counts before any rebalancing."""
    suggested_class_weights: dict[str, dict[str, float]]
    """scheme -> class -> weight, for comparison."""
    identity: Identity | None = None
    """What the examples' `_row_id` is the identity of; None where the examples do not tell."""
    anomalies: dict[str, list[str]]
    """split -> ExampleValidator's anomalies in words."""
    checks: list[Check]
    recommendation: Recommendation

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def failed(self) -> list[Check]:
        """The checks that stop the run."""
        return [c for c in self.checks if c.level == "fail"]
