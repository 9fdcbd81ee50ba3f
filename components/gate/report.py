"""Whether a model may be pushed, and why."""

from typing import ClassVar, Literal

from ..report import Report


class GateResult(Report):
    """One gate's verdict on the test split."""

    schema_name: ClassVar[str] = "gate_result"
    gate: Literal["absolute", "champion", "slice", "slice_champion"]
    metric: str
    slice: str
    """'overall' or 'column=value'."""
    value: float | None
    bound: float | None
    direction: Literal["min", "max"]
    champion_value: float | None
    examples: float
    positives: float
    verdict: Literal["pass", "fail", "skipped"]
    message: str
    """One sentence: which gate, which slice, value, bound; for skipped, why."""


class SliceMetrics(Report):
    """TFMA's metrics on one slice of test."""

    schema_name: ClassVar[str] = "slice_metrics"
    slice: str
    examples: float
    positives: float
    metrics: dict[str, float]
    champion_metrics: dict[str, float] | None


class Gating(Report):
    """Content of a GateReport artifact. All figures are TFMA's, on test."""

    schema_name: ClassVar[str] = "gate_report"

    verdict: Literal["blessed", "blocked", "unchanged"]
    """`unchanged`: the candidate computes the same as the champion; nothing to push."""
    message: str
    champion_version: str | None
    results: list[GateResult]
    slices: list[SliceMetrics]
    """The first is 'overall'."""
