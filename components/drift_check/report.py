"""This data against the champion's."""

from typing import ClassVar, Literal

from ..report import Report


class FeatureDrift(Report):
    """One feature's distance between the two train splits."""

    schema_name: ClassVar[str] = "feature_drift"
    feature: str
    measure: Literal["jensen_shannon_divergence", "l_infinity"]
    distance: float
    chance: float = 0.0
    """Distance that chance alone makes with so many rows; the bounds come on top of it."""
    level: Literal["ok", "warn", "search"]


class Drift(Report):
    """Content of a DriftReport artifact; figures are of the train splits."""

    schema_name: ClassVar[str] = "drift_report"

    champion_version: str | None
    prior_then: dict[str, float]
    prior_now: dict[str, float]
    prior_change: float | None
    """Relative change of the minority's share; None without a champion, or where its train had
    no row of today's minority."""
    features: list[FeatureDrift]
    """The largest distance first."""
    new_features: list[str]
    missing_features: list[str]
    verdict: Literal["no champion", "ok", "warn", "search"]
    messages: list[str]
