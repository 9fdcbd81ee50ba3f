"""What Rebalancer did."""

from typing import ClassVar

from ..report import Kind, Report
from .params import Method, SamplingStrategy


class Rebalancing(Report):
    """Content of a RebalanceReport artifact. Everything is about the train split."""

    schema_name: ClassVar[str] = "rebalance_report"

    method: Method
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
    factors: dict[str, float]
    """class -> after / before: P_train(class) is proportional to factor * P(class)."""
    kind: Kind
    row_identity: str
    """'feature': `_row_id` of the examples was used; 'computed': hashed here."""
