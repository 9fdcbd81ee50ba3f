"""What a user may demand of a model before it is pushed."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ..params import Params

GateMetric = Literal[
    "auc", "auc_pr", "precision", "recall", "f1", "balanced_accuracy", "brier", "ece"
]


class AbsoluteGate(Params):
    """The candidate's metric on test has a lower or an upper bound."""

    metric: GateMetric = Field(description="on test")
    min: float | None = Field(None, description="lower bound")
    max: float | None = Field(None, description="upper bound")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs `min` or `max`")
        return self


class ChampionGate(Params):
    """The candidate's metric on test may be worse than the champion's by at most max_loss."""

    metric: GateMetric = Field(description="on test")
    max_loss: float = Field(0.0, description="0.01: may be 0.01 worse; -0.01: must be better")


class SliceGate(AbsoluteGate):
    """An absolute gate or champion gate on each value of a column, where it can be judged."""

    column: str = Field(description="each of its values is a slice")
    values: tuple[str, ...] = Field((), description="all values when empty")
    min_examples: int = Field(100, ge=1, description="a smaller slice is not judged")
    min_positives: int = Field(10, ge=0, description="rows of the positive (smallest) class")
    max_loss: float | None = Field(None, description="against the champion on the same slice")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None and self.max_loss is None:
            raise ValueError("needs `min`, `max` or `max_loss`")
        return self


class GateParams(Params):
    """Gate's parameters."""

    absolute: tuple[AbsoluteGate, ...] = ()
    champion: tuple[ChampionGate, ...] = (ChampionGate(metric="auc_pr", max_loss=0.005),)
    slices: tuple[SliceGate, ...] = ()
    on_incomparable: Literal["block", "bless"] = Field(
        "block",
        description="what becomes of a candidate where a gate compares with the live model and "
        "that cannot be done, as classes or columns changed; bless: the other gates alone decide",
    )
