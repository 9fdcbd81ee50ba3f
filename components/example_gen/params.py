"""What a user may say about the data and its splits."""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from ..params import Params

NULL_VALUES: Final = (
    *("NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null"),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""What stands for a missing number, unless data.null_values says otherwise."""

Thousands = Literal[",", ".", "'", "\u2019", " ", "\u00a0", "\u2009", "\u202f"]
THOUSANDS: Final[tuple[Thousands, ...]] = get_args(Thousands)
"""What may stand between groups of digits: among it blanks that do not break lines."""


class SplitParams(Params):
    """Shares of the three splits and how rows are assigned to them."""

    mode: Literal["exact", "stable"] = Field(
        "exact",
        description="exact: each class in proportion, to one row; stable: a row keeps its split "
        "whatever other rows there are, as long as its values are read alike (a word among dates, "
        "or among numbers such as 007 or $5, makes the column text); shares are approximate; spans "
        "need it",
    )
    train: float = Field(0.7, gt=0, lt=1, description="share of rows to learn from")
    val: float = Field(
        0.15, gt=0, lt=1, description="share for early stopping, calibration and threshold"
    )
    test: float = Field(0.15, gt=0, lt=1, description="share that only the evaluation sees")
    duplicates: Literal["auto", "together", "apart"] = Field(
        "auto",
        description="rows of one identity. together: in one split, right for copies of one event; "
        "apart: each for itself, right for a table of few distinct rows, where the splits would "
        "miss their shares otherwise; auto: together while each class meets its share in each "
        "split within the larger of 0.5 points and one row (with order_by while no more than 0.5% "
        "of the rows miss the split of their time), else apart; together where mode is stable or a "
        "key is set. With group_by groups stay whole, and together unites groups that share a row",
    )
    key: tuple[str, ...] = Field(
        (),
        description="columns that alone make a row's identity, so that a new column leaves it and "
        "the row's split; they may be under data.exclude. None: all features make it. Where "
        "duplicates is apart, all features still tell rows of one key apart",
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test must be 1, found {total:g}")
        return self


class MergeRare(Params):
    """Rows of rare classes get one class."""

    merge: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="class that rows of rare classes get; new or not"
    )


class DataOptions(Params):
    """How the rows are read and what each column is for."""

    label: str = Field(min_length=1, description="column to predict")
    format: Literal["auto", "csv", "parquet", "tfrecord"] = Field(
        "auto", description="auto: by the files' names"
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="of a CSV")
    decimal: Literal[".", ","] = Field(
        ".", description="between whole and fraction of a CSV's numbers"
    )
    thousands: Thousands | None = Field(
        None, description="between groups of digits of a CSV's numbers, such as ',' in 46,156"
    )
    null_values: tuple[str, ...] = Field(
        NULL_VALUES,
        description="texts of a CSV that are missing values in columns of numbers, dates and "
        "truth values, as the empty text always is; never in the label, nor in a column of text",
    )
    column_null_values: dict[str, tuple[str, ...]] = Field(
        {},
        description="column of a CSV -> its own null_values, which hold whether its values are "
        "text or not",
    )
    exclude: tuple[str, ...] = Field(
        (), description="columns to leave out: identifiers, and what is known only with the label"
    )
    weight: str | None = Field(None, description="column of sample weights; no feature")
    group_by: str | None = Field(None, description="column whose equal values stay in one split")
    order_by: str | None = Field(
        None, description="column of times: the oldest rows are train, the newest test"
    )
    max_line_bytes: int = Field(
        64 << 20,
        ge=1 << 16,
        le=1 << 30,
        description="largest row, in bytes: of a CSV line ends in quotes included, of Parquet its "
        "texts, of TFRecord its record; a larger one is refused before it fills the memory",
    )
    rare_classes: Literal["error", "drop"] | MergeRare = Field(
        "error",
        description="classes with fewer rows than min_class_rows: refused, their rows dropped, or "
        "{merge: NAME}: their rows get class NAME, here and in the model",
    )
    min_class_rows: int = Field(
        3,
        ge=3,
        description="rows that a class needs; train, val and test need one each at the least",
    )
    unlabelled: Literal["error", "drop"] = Field("error", description="rows without a label")

    @field_validator("delimiter")
    @classmethod
    def _is_one_byte(cls, value: str) -> str:
        if not value.isascii() or value in '"\r\n\0':
            raise ValueError("must be one ASCII character other than a quote or a line end")
        return value

    @field_validator("null_values", "column_null_values", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """YAML reads -999 as a number and NULL as nothing."""
        if isinstance(value, dict):
            return {column: cls._as_text(texts) for column, texts in value.items()}
        if not isinstance(value, list | tuple):
            return value
        if any(text is None or isinstance(text, bool) for text in value):
            raise ValueError("put texts such as 'NULL', '~' and 'no' in quotes, as YAML wants it")
        return [str(text) if isinstance(text, int | float) else text for text in value]

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"thousands: {self.thousands!r} is decimal already; name another")
        if self.label in self.column_null_values:
            raise ValueError(
                f"column_null_values: {self.label!r} is the label, where every text but the empty "
                "one is a class; take it out of there"
            )
        return self


class IngestParams(DataOptions):
    """StratifiedExampleGen's parameters."""

    split: SplitParams = SplitParams()
    seed: int = Field(0, ge=0)
