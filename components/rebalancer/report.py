"""What Rebalancer did."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from ..report import Kind, Report
from .outliers_params import ClassOutliers
from .params import Method, SamplingStrategy


class OutlierFindings(BaseModel):
    """What was found of outliers, and what became of them."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    method: str
    action: str
    classes: dict[str, ClassOutliers]
    """class -> what was found in a sample of it."""
    rows: dict[str, int]
    """class -> rows that were dropped or clipped."""


class Rebalancing(Report):
    """Content of a RebalanceReport artifact. Everything is about the train split."""

    schema_name: ClassVar[str] = "rebalance_report"

    method: Method
    sampler: str | None = None
    """Path of imbalanced-learn's sampler, where the method is imblearn."""
    sampling_strategy: SamplingStrategy
    seed: int
    before: dict[str, int]
    """class -> rows, in the class order of the ImbalanceReport."""
    after: dict[str, int]
    kept: dict[str, int]
    """class -> rows of `before` that are still there (each once)."""
    duplicated: dict[str, int]
    """class -> exact copies added."""
    synthetic: dict[str, int]
    """class -> synthetic rows added."""
    weights: dict[str, float]
    """class -> what a row of `after` counts for: 1 unless it stands for rows that were dropped."""
    factors: dict[str, float]
    """class -> after * weight / before: P_train(class) is proportional to factor * P(class)."""
    kind: Kind
    recall: dict[str, float]
    """class -> share of the true neighbours that the search found, measured on sample rows of
    train; classes whose search was exact are left out."""
    outliers: OutlierFindings | None = None
    row_identity: str
    """'feature': `_row_id` of the examples was used; 'computed': hashed here."""
    row_copies: str | None = None
    """How equal rows were told apart: 'feature': by `_row_copy` of the examples; 'counted': rows of
    repeated identities were numbered here; null in reports from before that."""
