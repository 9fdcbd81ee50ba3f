"""What a user may say to Calibrator."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ..params import Params

Method = Literal["none", "platt", "spline", "isotonic", "temperature", "vector", "dirichlet"]
"""Maps to calibrated probabilities: see calibration.py."""


class ThresholdParams(Params):
    """What the operating point is chosen for, on val."""

    objective: Literal[
        "f_beta", "expected_cost", "recall_at_precision", "precision_at_recall", "balanced_accuracy"
    ] = Field("f_beta", description="what the operating point maximises, or minimises")
    beta: float = Field(1.0, gt=0, description="f_beta")
    precision: float | None = Field(None, gt=0, le=1, description="recall_at_precision")
    recall: float | None = Field(None, gt=0, le=1, description="precision_at_recall")
    cost_matrix: dict[str, dict[str, float]] = Field(
        {}, description="expected_cost: true class -> predicted class -> cost"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {
            "recall_at_precision": ("precision", self.precision),
            "precision_at_recall": ("recall", self.recall),
            "expected_cost": ("cost_matrix", self.cost_matrix or None),
        }
        if self.objective in needs:
            name, value = needs[self.objective]
            if value is None:
                raise ValueError(f"objective {self.objective} needs `{name}`")
        return self


class CalibrateOptions(Params):
    """How probabilities are corrected and the operating point is picked."""

    prior_correction: bool = Field(
        True,
        description="undo what sampling rates and class weights did to the prior; without it the "
        "probabilities stay distorted, on purpose",
    )
    method: Method | Literal["auto"] = Field(
        "auto",
        description="fitted on val after the prior correction; auto: the simplest map of platt and "
        "spline (binary), or temperature, vector and dirichlet (multiclass), whose log loss in "
        "folds of val is not beaten beyond chance, where the prior correction is not exact, ECE on "
        "val is above max_ece beyond chance, or the mean score misses the prevalence beyond "
        "chance; else none",
    )
    max_ece: float = Field(
        0.01, gt=0, lt=1, description="auto: ECE on val that calls for calibration"
    )
    threshold: ThresholdParams = ThresholdParams()


class CalibratorParams(CalibrateOptions):
    """Calibrator's parameters."""

    label: str = Field(min_length=1)
    weight: str | None = None
    seed: int = Field(0, ge=0)
