"""What a column holds: found in its values, joined over blocks and files, and converted.

A column's kind is the join over all its values, so it depends neither on how rows are spread over
files nor on their order. Each kind has one form as a feature: integers, booleans and times are
int64 (times in seconds since 1970-01-01 UTC), floating point is float32, text is bytes (UTF-8).
NaN is a missing value.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..hashing import column_hash
from .params import NULL_VALUES

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


@dataclass(frozen=True)
class TextFormat:
    """How the text of one CSV column is read.

    Attributes:
      decimal: '.' or ',': between whole and fraction.
      thousands: between groups of digits; None: nothing.
      null_values: texts, blanks around them passed over, that are missing beside the empty one.
      for_text: they are missing in a column of text, too.
    """

    decimal: str = "."
    thousands: str | None = None
    null_values: tuple[str, ...] = NULL_VALUES
    for_text: bool = False


LABEL_FORMAT: Final = TextFormat(null_values=())
"""A label is a name: nothing but the empty text is missing, and no number is written oddly."""

_WHOLE_LABEL: Final = r"^(?:0|-?[1-9]\d*)(?:\.0*)?$"
_BLANK: Final = "[\\s\u00a0\u2009\u202f]*"
_SIGN: Final = "([+\u2212-])"
_CURRENCY: Final = r"\p{Sc}"


def join(a: Kind, b: Kind) -> Kind:
    """The narrowest kind that holds the values of both; TEXT where nothing narrower does."""
    if a is b or b is Kind.NULL:
        return a
    if a is Kind.NULL:
        return b
    return Kind.FLOAT if {a, b} == {Kind.INT, Kind.FLOAT} else Kind.TEXT


def kind_of_text(
    values: pa.Array, at_least: Kind = Kind.NULL, text_format: TextFormat = LABEL_FORMAT
) -> Kind:
    """Kind of a CSV column by its strings, joined with `at_least`; null is no value.

    INT and FLOAT as Arrow's casts read them, or with the format's separators, a sign, a currency's
    symbol, a percent sign or in brackets (negative); BOOL is true or false in any case, TIME is
    ISO 8601 (a date, or a date and a time; what is finer than microseconds is cut off), ZONED the
    same with an offset or ` UTC`.
    Blanks around are passed over, and texts of blanks and the format's null values are no values,
    except in text.
    """
    if at_least is Kind.TEXT or values.null_count == len(values):
        return at_least
    values = values.drop_null()
    numbers = values
    if text_format.for_text or _plain_floats(values, text_format) is None:
        values = without_null_values(values, text_format).drop_null()
        if not len(values):
            return at_least
        numbers = _number_text(values, text_format)
    if numbers is not None:
        is_int = _try_cast(numbers, Kind.INT) is not None
        return join(at_least, Kind.INT if is_int else Kind.FLOAT)
    text = pc.ascii_trim_whitespace(values)
    if pc.all(pc.is_in(pc.ascii_lower(text), value_set=pa.array(_TRUTH))).as_py():
        return join(at_least, Kind.BOOL)
    if text[0].as_py()[:1].isdigit():
        for kind in (Kind.TIME, Kind.ZONED):
            if _times(text, kind) is not None:
                return join(at_least, kind)
    return Kind.TEXT


def kind_of_label(values: pa.Array, at_least: Kind = Kind.NULL) -> Kind:
    """Kind of a CSV's label by its strings, joined with `at_least`; null and blank are no value.

    INT of whole numbers in digits, with a minus or `.0` at most; FLOAT of numbers with a fraction,
    which are no classes; BOOL as `kind_of_text` has it. Any other text is a name (TEXT), so that
    different texts are different classes: '01', '1e3', '$1', '1%', dates.
    """
    if at_least is Kind.TEXT:
        return at_least
    names = pc.utf8_trim_whitespace(values.unique().drop_null())
    names = names.filter(pc.not_equal(names, ""))
    others = names.filter(pc.invert(pc.match_substring_regex(names, _WHOLE_LABEL)))
    if len(others) < len(names):
        at_least = join(at_least, Kind.INT)
    if not len(others):
        return at_least
    if pc.all(pc.is_in(pc.ascii_lower(others), value_set=pa.array(_TRUTH))).as_py():
        return join(at_least, Kind.BOOL)
    numbers = _try_cast(others, Kind.FLOAT)
    if numbers is None or not pc.all(_has_fraction(numbers)).as_py():
        return Kind.TEXT
    return join(at_least, Kind.FLOAT)


def label_values(column: pa.Array, kind: Kind) -> pa.Array:
    """A label as `class_names` takes it: `typed`, but digits of numbers that may have many.

    Raises:
      pa.ArrowException: a value does not fit.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_uint64(column.type):
        return column.cast(pa.string())
    if pa.types.is_decimal(column.type):
        encoded = column.dictionary_encode()
        texts = [format(value, "f") for value in encoded.dictionary.to_pylist()]
        return _whole_names(pa.array(texts, pa.string())).take(encoded.indices)
    if pa.types.is_string(column.type) and kind is Kind.INT:
        return _whole_names(pc.utf8_trim_whitespace(column))
    return typed(column, kind)


def whole_names(numbers: pa.Array) -> pa.Array:
    """Digits of whole numbers: `label_values` of kind FLOAT.

    Raises:
      NotWhole: a number has a fraction or is infinite; its argument is the row.
    """
    if pa.types.is_string(numbers.type):
        bad = pc.match_substring(numbers, ".")
    else:
        bad = pc.or_(_has_fraction(numbers), pc.is_inf(numbers))
    if pc.any(bad).as_py():
        raise NotWhole(int(np.argmax(bad.fill_null(False).to_numpy(zero_copy_only=False))))
    if pa.types.is_string(numbers.type):
        return numbers
    try:
        return numbers.cast(pa.int64()).cast(pa.string())
    except pa.ArrowInvalid:  # beyond int64
        return pa.array([v if v is None else format(v, ".0f") for v in numbers.to_pylist()])


class NotWhole(ValueError):
    """A number that is no class."""


def _whole_names(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, r"\.0*$", "")


def _has_fraction(numbers: pa.Array) -> pa.Array:
    return pc.and_(pc.is_finite(numbers), pc.not_equal(numbers, pc.floor(numbers)))


def without_null_values(text: pa.Array, text_format: TextFormat) -> pa.Array:
    """`text` (string [n]), null where it is blank or one of the format's null values."""
    markers = pa.array(["", *text_format.null_values], pa.string())
    is_null = pc.is_in(pc.utf8_trim_whitespace(text), value_set=markers)
    if not pc.any(is_null).as_py():
        return text
    return pc.if_else(is_null, pa.scalar(None, pa.string()), text)


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


def typed(column: pa.Array, kind: Kind, text_format: TextFormat = LABEL_FORMAT) -> pa.Array:
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
    column = on_values(column, lambda values: _cast(values, kind, text_format))
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


def exact_hash(
    source: pa.Array, column: pa.Array, text_format: TextFormat = LABEL_FORMAT
) -> np.ndarray:
    """uint64 [n]: hash of each value as the file has it, 0 where it is missing.

    Args:
      source: the column as it was read.
      column: the same, `typed`.
      text_format: of a CSV's texts.

    A whole number that neither int64 nor float64 holds, such as an id of 20 digits, is its digits,
    with an exponent or not;
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
        plain = _number_text(texts, text_format)
        texts = pc.ascii_trim_whitespace(texts if plain is None else plain)
        if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
            texts = pa.array(map(_without_exponent, texts.to_pylist()), pa.string())
        texts = pc.replace_substring_regex(texts, pattern=r"^(-?)0+(\d)", replacement=r"\1\2")
        texts = pc.replace_substring_regex(texts, pattern=r"^(-?\d+)\.0*$", replacement=r"\1")
        whole = np.asarray(pc.match_substring_regex(texts, r"^-?\d+$"))
        value[wide[whole]] = column_hash(texts.filter(pa.array(whole)))
    return value


def _without_exponent(number: str) -> str:
    """A whole number's digits; any other text of a number below 1.8e308 as it is."""
    exact = Decimal(number)
    return str(int(exact)) if exact == int(exact) else number


def first_infinite(column: pa.Array) -> int | None:
    """Row of the first infinite value in a column of numbers; None: there is none."""
    values = column.flatten() if is_list(column.type) else column
    if not pa.types.is_floating(values.type):
        return None
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


def _cast(values: pa.Array, kind: Kind, text_format: TextFormat) -> pa.Array:
    if kind is Kind.NULL:
        return pa.nulls(len(values))
    if pa.types.is_string(values.type):
        return _parse(values, kind, text_format)
    if kind in (Kind.TIME, Kind.ZONED):
        return _microseconds(values)
    if kind is Kind.FLOAT and pa.types.is_decimal(values.type):
        return _decimals(values)
    return values.cast(_ARROW[kind])


def _decimals(values: pa.Array) -> pa.Array:
    """float64 [n], the nearest to each decimal, as its text is read; Arrow's cast rounds twice.

    A quotient of two numbers that float64 holds exactly is rounded once.
    """
    numbers = np.zeros(len(values))
    left = known = np.asarray(pc.is_valid(values))
    if len(values) and pa.types.is_decimal128(values.type) and 0 <= values.type.scale <= 22:
        words = np.frombuffer(values.buffers()[1], "<i8").reshape(-1, 2)
        low, high = words[values.offset :][: len(values)].T
        numbers = low / 10.0**values.type.scale
        left = known & ~((high == low >> 63) & (low < 1 << 53) & (low > -(1 << 53)))
    at = np.flatnonzero(left)
    numbers[at] = [float(value) for value in values.take(pa.array(at)).to_pylist()]
    return pa.array(numbers, mask=~known)


def _parse(text: pa.Array, kind: Kind, text_format: TextFormat) -> pa.Array:
    if kind is Kind.TEXT:
        text = without_null_values(text, text_format) if text_format.for_text else text
        return text.cast(_ARROW[kind])
    if kind is Kind.FLOAT and (floats := _plain_floats(text, text_format)) is not None:
        return floats
    text = without_null_values(text, text_format)
    if kind in (Kind.INT, Kind.FLOAT):
        numbers = _number_text(text, text_format)
        # Of what is no number the cast words the error.
        return (text if numbers is None else numbers).cast(_ARROW[kind])
    text = pc.ascii_trim_whitespace(text)
    if kind is Kind.BOOL:
        return pc.equal(pc.ascii_lower(text), _TRUTH[0])
    times = _times(text, kind)
    return (text.cast(_ARROW[kind]) if times is None else times).cast(pa.int64())


def _times(text: pa.Array, kind: Kind) -> pa.Array | None:
    """The times of trimmed texts; None where one is none."""
    if (times := _try_cast(text, kind)) is not None:
        return times
    text = pc.replace_substring_regex(text, r"(:\d\d(?:\.\d+)?) UTC$", r"\1Z")
    text = pc.replace_substring_regex(text, r"(:\d\d\.\d{6})\d{1,3}", r"\1")
    return _try_cast(text, kind)


@functools.lru_cache
def _numeric_markers(text_format: TextFormat) -> bool:
    """Whether one of the null values is a number, such as -999; NaN is none."""
    markers = pa.array([m.strip() for m in text_format.null_values], pa.string())
    return any(
        (number := _try_cast(markers[i : i + 1], Kind.FLOAT)) is not None
        and not np.isnan(number[0].as_py())
        for i in range(len(markers))
    )


def _plain_floats(text: pa.Array, text_format: TextFormat) -> pa.Array | None:
    """float64 [n] where Arrow's cast alone reads all values: the usual case, and fast."""
    if text_format.decimal != "." or _numeric_markers(text_format):
        return None
    numbers = _try_cast(text, Kind.FLOAT)
    return None if numbers is None or pc.any(pc.is_nan(numbers)).as_py() else numbers


def _number_text(text: pa.Array, text_format: TextFormat) -> pa.Array | None:
    """`text` as Arrow's casts read numbers; None where a value is none in this format."""
    if text_format.decimal == ".":
        for plain in (text, pc.ascii_trim_whitespace(text)):
            if _try_cast(plain, Kind.FLOAT) is not None:
                return plain
    if _plain_numbers(text[:_PEEK], text_format) is None:
        return None
    plain = _plain_numbers(text, text_format)
    return None if plain is None or _try_cast(plain, Kind.FLOAT) is None else plain


def _plain_numbers(text: pa.Array, text_format: TextFormat) -> pa.Array | None:
    """`text` as Arrow's casts want numbers; None where one is none."""
    signed, bracketed = number_patterns((text_format.decimal, text_format.thousands))
    is_signed = pc.match_substring_regex(text, signed)
    is_bracketed = pc.match_substring_regex(text, bracketed)
    is_number = pc.or_(is_signed, is_bracketed)
    # What is left is inf, nan or no number; a point in it would be one of another format.
    rest = text.filter(pc.invert(is_number)).drop_null()
    has_point = pc.any(pc.match_substring(rest, ".")).as_py() and text_format.decimal != "."
    if has_point or _try_cast(pc.ascii_trim_whitespace(rest), Kind.FLOAT) is None:
        return None
    plain = pc.replace_substring_regex(text, signed, r"\1\2\3")
    plain = pc.replace_substring_regex(plain, bracketed, r"-\1")
    plain = pc.replace_substring(plain, "\u2212", "-")
    plain = pc.replace_substring(plain, "+", "")
    if text_format.thousands is not None:
        plain = pc.replace_substring(plain, text_format.thousands, "")
    plain = pc.replace_substring(plain, text_format.decimal, ".")
    return pc.if_else(is_number, plain, pc.ascii_trim_whitespace(text))


@functools.lru_cache
def number_patterns(*formats: tuple[str, str | None]) -> tuple[str, str]:
    """Regular expressions (RE2) of a number with its signs, and of one in brackets (negative).

    The number is in one of the formats, (decimal, thousands). Groups of digits between `thousands`
    have three digits, or two as in India but for the last; the first begins with no 0.
    """
    number = rf"((?:{'|'.join(_digits(*f) for f in formats)})(?:[eE][+-]?\d+)?)"
    unit = rf"{_BLANK}(?:%|{_CURRENCY})?{_BLANK}"
    before = rf"{_BLANK}(?:{_CURRENCY})?{_BLANK}"
    return (
        rf"^(?:{_BLANK}{_SIGN}?{before}|{before}{_SIGN}){number}{unit}$",
        rf"^(?:{_BLANK}\({before}|{before}\({_BLANK}){number}{unit}\){_BLANK}$",
    )


def _digits(decimal: str, thousands: str | None) -> str:
    """RE2 pattern of a number's digits in one format."""
    point = "\\" + decimal
    whole = r"\d+"
    if thousands is not None:
        group = "\\" + thousands if thousands in ".,'" else thousands
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}})"
    return rf"{whole}(?:{point}\d*)?|{point}\d+"


def _microseconds(values: pa.Array) -> pa.Array:
    """int64 [n] of times or dates; what is finer than microseconds is cut off.

    Raises:
      pa.ArrowInvalid: a time beyond the 292,277 years around 1970 that int64 microseconds hold.
    """
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        return _floor_divide(values.cast(pa.int64()), 1000)
    return values.cast(pa.timestamp("us", getattr(values.type, "tz", None))).cast(pa.int64())


def _seconds(microseconds: pa.Array) -> pa.Array:
    return _floor_divide(microseconds, MICROSECONDS)


def _floor_divide(values: pa.Array, by: int) -> pa.Array:
    """int64 [n] divided towards minus infinity, in integers: float64 would lose the far ones."""
    known = np.asarray(pc.is_valid(values))
    numbers = np.asarray(pc.fill_null(values, 0))
    return pa.array(np.floor_divide(numbers, by), pa.int64(), mask=~known)
