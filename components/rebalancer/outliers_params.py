"""What a user may say about outliers, and what is reported of them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from ..params import Params


class OutlierOptions(Params):
    """How outliers of each class of train are found, and what becomes of them."""

    method: Literal["none", "isolation_forest", "robust"] = Field(
        "none",
        description="robust: values far from the class's median, by its median absolute deviation; "
        "isolation_forest: rows that random cuts set apart early, which sees features together",
    )
    action: Literal["report", "drop", "clip"] = Field(
        "report",
        description="report only tells; drop leaves the rows out of train, before classes are "
        "counted for resampling; clip (robust only) moves values to the nearest bound. val and "
        "test are never touched",
    )
    threshold: float = Field(
        3.5,
        gt=0,
        description="robust z-score from which a value (robust) or a row's score "
        "(isolation_forest without contamination) is outlying; more where many rows of the class "
        "have such values",
    )
    contamination: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="isolation_forest: share of each class's sample that is outlying, instead of "
        "threshold",
    )
    sample_rows: int = Field(
        10_000, ge=100, description="rows of each class that are looked at to tell what is usual"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method != "isolation_forest" and self.contamination is not None:
            raise ValueError(
                f"contamination: method {self.method} does not read it; isolation_forest does"
            )
        if self.method == "isolation_forest" and self.action == "clip":
            raise ValueError(
                "action: 'clip': isolation_forest judges whole rows and gives values no bounds; "
                "use method robust, or action report or drop"
            )
        if self.method == "none" and self.action != "report":
            raise ValueError(
                f"action: {self.action!r}: method none finds no outliers; use robust or "
                "isolation_forest"
            )
        if self.contamination is not None and "threshold" in self.model_fields_set:
            default = type(self).model_fields["threshold"].default
            if self.threshold != default:
                raise ValueError("threshold: contamination takes its place; give one of the two")
        return self


class ClassOutliers(BaseModel):
    """Outliers in the sample of one class."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    rows: int
    """Rows looked at."""
    share: float | None
    """Share of them that is outlying; None where there were too few rows to tell."""
    reason: str
    """Why nothing is told of the class; '' where something is."""
    features: dict[str, float]
    """Feature -> share of outlying rows in which it is the most outlying one; the first five."""
    unjudged: list[str]
    """Features without spread by which a value could be called outlying."""
