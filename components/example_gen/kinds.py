"""What a column holds: found in its values, joined over blocks and files, and converted.

A column's kind is the join over all its values, so it depends neither on how rows are spread over
files nor on their order. Each kind has one form as a feature: integers, booleans and times are
int64 (times in seconds since 1970-01-01 UTC), floating point is float32, text is bytes (UTF-8).
NaN is a missing value.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..hashing import column_hash

MICROSECONDS: Final = 1_000_000


class Kind(str, Enum):
    """Kind of a column's values."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TIME = "time"
    ZONED = "zoned time"
    TEXT = "text"

    @property
    def feature(self) -> Literal["int", "float", "bytes"]:
        """'int', 'float' or 'bytes': the tf.Example feature of this kind."""
        if self is Kind.FLOAT:
            return "float"
        return "bytes" if self in (Kind.TEXT, Kind.NULL) else "int"


_EXACT: Final = 2.0**53  # below it a float64 holds every whole number
_PEEK: Final = 16  # values tried first: a cast in vain is slow, it words an error for each value
_TRUTH: Final = ("true", "false")
_ARROW: Final[Mapping[Kind, pa.DataType]] = {
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TIME: pa.timestamp("us"),
    Kind.ZONED: pa.timestamp("us", "UTC"),
    Kind.TEXT: pa.large_binary(),
}


def join(a: Kind, b: Kind) -> Kind:
    """The narrowest kind that holds the values of both; TEXT where nothing narrower does."""
    if a is b or b is Kind.NULL:
        return a
    if a is Kind.NULL:
        return b
    return Kind.FLOAT if {a, b} == {Kind.INT, Kind.FLOAT} else Kind.TEXT


def kind_of_text(values: pa.Array, at_least: Kind = Kind.NULL) -> Kind:
    """Kind of a CSV column by its strings, joined with `at_least`; null is no value.

    INT and FLOAT as Arrow's casts read them, BOOL is true or false in any case, TIME is ISO 8601
    (a date, or a date and a time up to microseconds), ZONED the same with an offset. Spaces
    around are passed over, except in text.
    """
    if at_least is Kind.TEXT or values.null_count == len(values):
        return at_least
    values = values.drop_null()
    for text in (values, pc.ascii_trim_whitespace(values)):
        if _try_cast(text, Kind.FLOAT) is not None:
            is_int = _try_cast(text, Kind.INT) is not None
            return join(at_least, Kind.INT if is_int else Kind.FLOAT)
    if pc.all(pc.is_in(pc.ascii_lower(text), value_set=pa.array(_TRUTH))).as_py():
        return join(at_least, Kind.BOOL)
    for kind in (Kind.TIME, Kind.ZONED):
        if _try_cast(text, kind) is not None:
            return join(at_least, kind)
    return Kind.TEXT


def kind_of_type(kind: pa.DataType) -> Kind | None:
    """Kind of an Arrow column by its type, that of its elements for a list; None: not supported."""
    if is_list(kind):
        return None if is_list(kind.value_type) else kind_of_type(kind.value_type)
    if pa.types.is_dictionary(kind):
        return kind_of_type(kind.value_type)
    if pa.types.is_null(kind):
        return Kind.NULL
    if pa.types.is_boolean(kind):
        return Kind.BOOL
    if pa.types.is_integer(kind):
        return Kind.INT
    if pa.types.is_float32(kind) or pa.types.is_float64(kind) or pa.types.is_decimal(kind):
        return Kind.FLOAT
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Kind.TIME
    text = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    return Kind.TEXT if kind in text else None


def typed(column: pa.Array, kind: Kind) -> pa.Array:
    """`column` with its values in the one Arrow type of `kind`; times are int64 microseconds.

    Text (a CSV's strings) is parsed. Lists of at most one element become scalars, longer ones
    large lists. NaN becomes null.

    Raises:
      pa.ArrowInvalid: a value does not fit, such as an unsigned integer above 2**63 - 1.
      NanInList: a NaN stands in a list of several values; its argument is the row.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = _squeeze(column) if is_list(column.type) else column
    column = on_values(column, lambda values: _cast(values, kind))
    return _nan_to_null(column) if kind is Kind.FLOAT else column


class NanInList(ValueError):
    """A NaN in a list of several values, where it cannot be a missing value."""


def feature(column: pa.Array, kind: Kind) -> pa.Array:
    """A `typed` column as the values of a tf.Example feature: int64, float32 or large_binary."""
    if kind in (Kind.TIME, Kind.ZONED):
        return on_values(column, _seconds)
    if kind is Kind.BOOL:
        return on_values(column, lambda values: values.cast(pa.int64()))
    if kind is Kind.FLOAT:
        return on_values(column, lambda values: values.cast(pa.float32(), safe=False))
    return column


def exact_hash(source: pa.Array, column: pa.Array) -> np.ndarray:
    """uint64 [n]: hash of each value as the file has it, 0 where it is missing.

    Args:
      source: the column as it was read.
      column: the same, `typed`.

    A whole number that neither int64 nor float64 holds, such as an id of 20 digits, is its digits;
    a float32 is the decimal that it is printed as, thus the same as in a CSV.
    """
    if pa.types.is_uint64(source.type):
        return column_hash(source)
    if pa.types.is_float32(source.type.value_type if is_list(source.type) else source.type):
        return column_hash(on_values(column, _as_printed))
    value = column_hash(column)
    from_text, decimal = pa.types.is_string(source.type), pa.types.is_decimal(source.type)
    if not (column.type == pa.float64() and (from_text or decimal)):
        return value
    numbers = column.to_numpy(zero_copy_only=False)
    wide = np.flatnonzero(np.abs(numbers) >= _EXACT)
    if len(wide):
        texts = source.take(pa.array(wide))
        if decimal:
            texts = pa.array([format(v, "f") for v in texts.to_pylist()])
        texts = pc.ascii_trim_whitespace(texts)
        texts = pc.replace_substring_regex(texts, pattern=r"^(-?)0+(\d)", replacement=r"\1\2")
        texts = pc.replace_substring_regex(texts, pattern=r"^(-?\d+)\.0*$", replacement=r"\1")
        whole = np.asarray(pc.match_substring_regex(texts, r"^-?\d+$"))
        value[wide[whole]] = column_hash(texts.filter(pa.array(whole)))
    return value


def first_infinite(column: pa.Array) -> int | None:
    """Row of the first infinite value in a column of floats; None: there is none."""
    values = column.flatten() if is_list(column.type) else column
    found = pc.is_inf(values).fill_null(False)
    if not pc.any(found).as_py():
        return None
    at = int(np.argmax(found.to_numpy(zero_copy_only=False)))
    return at if values is column else int(np.repeat(np.arange(len(column)), lengths(column))[at])


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def lengths(column: pa.Array) -> np.ndarray:
    """int64 [n], number of elements of each list; 0 for null."""
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)


def as_lists(column: pa.Array) -> pa.Array:
    """A column of scalars or lists as lists; null becomes null."""
    if is_list(column.type):
        return column
    valid = np.asarray(pc.is_valid(column))
    offsets = np.concatenate([[0], np.cumsum(valid)]).astype(np.int64)
    # A null offset makes a null list.
    marked = pa.array(offsets, mask=np.concatenate([~valid, [False]]))
    return pa.LargeListArray.from_arrays(marked, column.drop_null())


def on_values(column: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Applies an elementwise function to the scalars or to the lists' elements."""
    if not is_list(column.type):
        return function(column)
    offsets = np.concatenate([[0], np.cumsum(lengths(column))])
    return pa.LargeListArray.from_arrays(pa.array(offsets), function(column.flatten()))


def _as_printed(values: pa.Array) -> pa.Array:
    return values.cast(pa.float32()).cast(pa.string()).cast(pa.float64())


def _squeeze(column: pa.Array) -> pa.Array:
    count = lengths(column)
    if count.max(initial=0) > 1:
        return column
    at = pa.array(np.cumsum(count) - 1, mask=count == 0)
    return column.flatten().take(at)


def _nan_to_null(column: pa.Array) -> pa.Array:
    values = column.flatten() if is_list(column.type) else column
    nan = pc.is_nan(values).fill_null(False)
    if not pc.any(nan).as_py():
        return column
    if values is column:
        return pc.if_else(nan, pa.scalar(None, column.type), column)
    nan = nan.to_numpy(zero_copy_only=False)
    count = lengths(column)
    rows = np.repeat(np.arange(len(column)), count)[nan]
    if (long := rows[count[rows] > 1]).size:
        raise NanInList(int(long[0]))
    offsets = np.concatenate([[0], np.cumsum(count - np.bincount(rows, minlength=len(column)))])
    return pa.LargeListArray.from_arrays(pa.array(offsets), values.filter(pa.array(~nan)))


def _try_cast(text: pa.Array, kind: Kind) -> pa.Array | None:
    try:
        text[:_PEEK].cast(_ARROW[kind])
        return text.cast(_ARROW[kind])
    except pa.ArrowInvalid:
        return None


def _cast(values: pa.Array, kind: Kind) -> pa.Array:
    if kind is Kind.NULL:
        return pa.nulls(len(values))
    if kind in (Kind.TIME, Kind.ZONED) and not pa.types.is_string(values.type):
        # Finer than microseconds is cut off.
        unit = pa.timestamp("us", getattr(values.type, "tz", None))
        return values.cast(unit, safe=False).cast(pa.int64())
    if pa.types.is_string(values.type) and kind is not Kind.TEXT:
        return _parse(values, kind)
    return values.cast(_ARROW[kind])


def _parse(text: pa.Array, kind: Kind) -> pa.Array:
    if kind is Kind.BOOL:
        return pc.equal(pc.ascii_lower(pc.ascii_trim_whitespace(text)), _TRUTH[0])
    values = _try_cast(text, kind)
    if values is None:
        values = pc.ascii_trim_whitespace(text).cast(_ARROW[kind])
    return values if kind in (Kind.INT, Kind.FLOAT) else values.cast(pa.int64())


def _seconds(microseconds: pa.Array) -> pa.Array:
    return pc.floor(pc.divide(microseconds.cast(pa.float64()), MICROSECONDS)).cast(pa.int64())
