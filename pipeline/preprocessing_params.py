"""What a user may say about preprocessing."""

from typing import Literal

from pydantic import Field

from ..components.params import Params


class PreprocessingParams(Params):
    """How raw columns become model inputs; all figures are taken from the train split alone."""

    fn: str | None = Field(
        None,
        description="your own preprocessing_fn by dotted name, instead; its inputs are sparse",
    )
    numeric: Literal["z_score", "min_max", "quantile", "none"] = Field(
        "z_score",
        description="how numbers are scaled; quantile: by rank, to [0, 1], equal values at the "
        "mean of their ranks; none: not, but whole numbers beyond 16,777,216, which float32 would "
        "round, are counted from train's least",
    )
    clip: float = Field(10.0, gt=0, description="z-scores are kept within +-clip")
    categorical: tuple[str, ...] = Field((), description="whole-number columns that are categories")
    min_frequency: int = Field(
        5, ge=1, description="a category seen in fewer rows of train counts as unseen"
    )
    max_size: int | None = Field(
        None, ge=1, description="most categories kept per column, by frequency"
    )
    oov_buckets: int = Field(1, ge=1, description="ids that unseen categories share, by hash")
