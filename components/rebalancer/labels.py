"""Classes of a label in memory, called as the pipeline calls them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from ..errors import UserError
from ..example_gen.kinds import kind_of_type, label_values
from ..example_gen.rows import class_names
from .content import plain

_FEW: Final = 20  # different numbers that are never too many for classes


@dataclass(frozen=True)
class Labels:
    """The classes of n rows.

    Attributes:
      codes: int64 [n], class indices.
      classes: their names, in the order of their values.
      first: int64 [n_classes], the first row of each class.
    """

    codes: np.ndarray
    classes: tuple[str, ...]
    first: np.ndarray


def labels_of(y: Any) -> Labels:
    """Finds the classes of a target.

    Args:
      y: n classes, as `resample` takes them.

    Raises:
      UserError: a class is missing, the values are no classes, two classes have the same name, or
        `y` has several columns.
    """
    column = _column(y)
    missing = column.isna()
    if missing.any():
        raise UserError(
            f"y: the class is missing in {int(missing.sum())} rows, the first is row "
            f"{int(np.argmax(missing.to_numpy()))}; leave those rows out"
        )
    try:
        plain = pd.api.types.is_object_dtype(column)
        found, values = pd.factorize(column.to_numpy() if plain else column)
    except TypeError:
        raise UserError(
            f"y holds {type(column.iloc[0]).__name__} values; expected one class for each row of x"
        ) from None
    first = np.unique(found, return_index=True)[1]
    _must_be_few(column, len(values))
    names = names_of(values, first)
    order = _order(values, names)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    classes = tuple(names[i] for i in order)
    for i, name in enumerate(names):
        if names.index(name) < i:
            one, other = as_given(values[names.index(name)]), as_given(values[i])
            raise UserError(
                f"y: {one} and {other} are both called {name!r}; make them one class, or rename "
                "one of them"
            )
    return Labels(place[found], classes, first[order])


def names_of(values: Any, rows: np.ndarray | None = None) -> list[str]:
    """Names of classes: of text itself, 'true' and 'false', '3' for 3 and 3.0.

    Args:
      values: k classes, none missing.
      rows: int64 [k], where each of them stands, for messages.

    Raises:
      UserError: a value is no class.
    """
    rows = np.arange(len(values)) if rows is None else rows
    plain = isinstance(values, list) or pd.api.types.is_object_dtype(values)
    if plain and len(set(map(type, values))) > 1:  # Arrow would make one type of them
        return [_name(value, row) for value, row in zip(values, rows.tolist(), strict=True)]
    try:
        return _named(pa.array(values, from_pandas=True), rows)
    except UserError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return [_name(value, row) for value, row in zip(values, rows.tolist(), strict=True)]


def taken(y: Any, rows: np.ndarray, relabel: bool) -> Any:
    """Rows of a target, as it came: a Series, frame, categorical or array; of a list an array.

    Args:
      y: as `resample` takes it.
      rows: int64 [m].
      relabel: whether rows of pandas are numbered anew; else they keep their index.
    """
    if isinstance(y, pd.Series | pd.DataFrame):
        some = y.iloc[rows]
        return some.reset_index(drop=True) if relabel else some
    if isinstance(y, pd.Index | pd.api.extensions.ExtensionArray):
        return y.take(rows)
    return _array(y)[rows]


def _column(y: Any) -> pd.Series:
    if isinstance(y, pd.Series):
        return plain(y)
    if not isinstance(y, pd.DataFrame | pd.Index | pd.api.extensions.ExtensionArray):
        y = _array(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.iloc[:, 0] if isinstance(y, pd.DataFrame) else y[:, 0]
    if y.ndim != 1:
        what = f"{y.shape[1]} columns" if y.ndim == 2 else f"{y.ndim} dimensions"
        raise UserError(f"y has {what}; expected one class for each row of x")
    return plain(y if isinstance(y, pd.Series) else pd.Series(y))


def _array(y: Any) -> np.ndarray:
    """Of a list whose values NumPy would change, to make them one type, an array of objects."""
    if np.ma.is_masked(y):
        raise UserError("y is an array with masked values; leave those rows out")
    try:
        made = np.asarray(y)
    except ValueError as error:
        raise UserError(f"y is no list of classes: {error}") from None
    if isinstance(y, list | tuple) and made.ndim == 1 and made.tolist() != list(y):
        return np.array(y, object)
    return made


def _must_be_few(column: pd.Series, values: int) -> None:
    """Numbers that hardly ever repeat are measured, not classes."""
    floats = pd.api.types.is_float_dtype(column)
    if not floats and not pd.api.types.is_integer_dtype(column):
        return
    if values > _FEW and values > len(column) / (10 if floats else 2):
        raise UserError(
            f"y holds {values} different numbers in {len(column)} rows: Unknown label type, "
            "continuous; regression is not supported: choose another label or bin this one"
        )


def _named(values: pa.Array, rows: np.ndarray) -> list[str]:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    kind = kind_of_type(values.type)
    if kind is None:
        raise TypeError(f"{values.type} values are no classes")

    def at(row: int) -> str:
        return f"row {rows[row]}"

    found: list[str | None] = class_names(label_values(values, kind), kind, "y", at).to_pylist()
    if None in found:
        row = rows[found.index(None)]
        raise UserError(f"y: the class is missing (empty) in row {row}; leave such rows out")
    return [name for name in found if name is not None]


def _name(value: Any, row: int) -> str:
    try:
        return _named(pa.array([value]), np.array([row]))[0]
    except UserError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise UserError(
            f"y: {as_given(value)} (row {row}) is no class; expected text, whole numbers or truth "
            "values"
        ) from None


def _order(values: Any, names: list[str]) -> list[int]:
    """By value; by name where values cannot be compared."""
    given = list(values)
    try:
        return sorted(range(len(given)), key=given.__getitem__)
    except TypeError:
        return sorted(range(len(given)), key=names.__getitem__)


def as_given(value: object) -> str:
    """A value for a message, the same with every version of NumPy."""
    if isinstance(value, np.number | np.bool_):
        return str(value)
    return repr(value.item() if isinstance(value, np.generic) else value)
