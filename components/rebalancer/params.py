"""What a user may say to Rebalancer."""

from typing import Literal

from pydantic import Field

from ..params import Params

Method = Literal["none", "over", "under", "both", "smote", "smote_nc"]
SamplingStrategy = (
    Literal["auto", "minority", "not majority", "not minority", "all"] | float | dict[str, int]
)


class RebalanceOptions(Params):
    """How the train split is rebalanced, in imbalanced-learn's vocabulary."""

    method: Method = Field("none", description="over- or undersampling, both, or synthetic rows")
    sampling_strategy: SamplingStrategy = Field(
        "auto",
        description="auto, minority, not majority, not minority, all; a float (binary: rows of "
        "the minority by rows of the majority afterwards); or class name -> rows",
    )
    k_neighbors: int = Field(5, ge=1, description="smote and smote_nc")
    under_sampling_strategy: SamplingStrategy = Field(
        "auto", description="`both` only: applied after oversampling by sampling_strategy"
    )
    max_growth: float = Field(10.0, gt=1, description="most rows afterwards by rows before")
    memory_limit_mb: int = Field(
        1024, ge=1, description="largest minority matrix that is searched in one place"
    )


class RebalanceParams(RebalanceOptions):
    """Rebalancer's parameters."""

    seed: int = Field(0, ge=0)
