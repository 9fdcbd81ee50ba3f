"""What a user may say to ImbalanceDetector."""

from typing import Literal

from pydantic import Field

from ..class_weights import ClassWeightParams
from ..params import Params

Severity = Literal["none", "mild", "moderate", "extreme"]


class FailOn(Params):
    """Conditions under which the run stops before anything is trained; None switches one off."""

    severity: Literal["mild", "moderate", "extreme"] | None = Field(
        None, description="this severity or a worse one"
    )
    imbalance_ratio_above: float | None = Field(
        None, gt=1, description="rows of the largest class by rows of the smallest, in train"
    )
    class_smaller_than: int = Field(2, ge=2, description="rows of a class in train")
    class_missing_in_split: bool = Field(True, description="a class without rows in val or test")
    unlabelled: bool = Field(True, description="rows without a label")
    label_outside_schema: bool = Field(True, description="a class that the schema does not have")
    split_shares: bool = Field(
        False,
        description="a split that misses its share of a class or of all rows by more than the "
        "larger of 2 points and 2 rows",
    )
    prior_shift_above: float | None = Field(
        None, gt=0, le=1, description="total variation distance of class shares between splits"
    )
    anomalies: Literal["fail", "warn", "ignore"] = Field(
        "warn", description="what ExampleValidator finds against the schema"
    )


class CheckOptions(Params):
    """What is looked at beside the label's counts, and what stops the run."""

    slices: tuple[str, ...] = Field((), description="columns whose values are counted by class")
    folds: int = Field(5, ge=2, description="to judge which classes are too small to be folded")
    fail_on: FailOn = FailOn()


class DetectorParams(CheckOptions):
    """ImbalanceDetector's parameters."""

    label: str = Field(min_length=1)
    positive: str | None = Field(
        None, description="positive class of a binary label; the smaller class when not given"
    )
    row_id: bool = Field(
        False,
        description="the examples have the features `_row_id` and `_row_copy`, as "
        "StratifiedExampleGen's do",
    )
    split_shares: tuple[float, float, float] | None = Field(
        None, description="shares of train, val and test that were asked for; None: not checked"
    )
    schema_file: str | None = Field(
        None,
        description="the curated schema's file: the schema stays as it is; where it is not named "
        "the schema was inferred, and any column may be missing",
    )
    k_neighbors: int = Field(5, ge=1, description="to judge which classes are too small for SMOTE")
    class_weights: ClassWeightParams = ClassWeightParams()
