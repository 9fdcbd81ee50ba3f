"""What a user may say about the data and its splits."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ..params import Params


class SplitParams(Params):
    """Shares of the three splits and how rows are assigned to them."""

    mode: Literal["exact", "stable"] = "exact"
    train: float = Field(0.7, gt=0, lt=1)
    val: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test must be 1, found {total:g}")
        return self


class DataOptions(Params):
    """How the rows are read and what each column is for."""

    label: str = Field(min_length=1)
    format: Literal["auto", "csv", "parquet", "tfrecord"] = "auto"
    delimiter: str = Field(",", min_length=1, max_length=1)
    exclude: tuple[str, ...] = ()
    weight: str | None = None
    group_by: str | None = None
    order_by: str | None = None
    unlabelled: Literal["error", "drop"] = "error"


class IngestParams(DataOptions):
    """StratifiedExampleGen's parameters."""

    split: SplitParams = SplitParams()
    seed: int = Field(0, ge=0)
