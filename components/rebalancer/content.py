"""Identities of the rows of a table in memory, whatever its columns hold."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse

from .. import hashing


def identities(x: Any) -> np.ndarray:
    """int64 [n], as of examples with the same features, see `hashing.row_ids`.

    Floats are float64, times are int64, text is itself and a missing value is none. Objects of
    other sorts are what `repr` says of them.

    Args:
      x: a DataFrame; or an array or a sparse matrix [n, d], whose columns are called x0, x1, ...
    """
    if sparse.issparse(x):
        return _of_sparse(x)
    table = x if isinstance(x, pd.DataFrame) else pd.DataFrame(x).add_prefix("x")
    columns = {str(name): _arrow(column) for name, column in table.infer_objects().items()}
    if not columns:
        return np.zeros(len(table), np.int64)
    return hashing.row_ids(pa.Table.from_pydict(columns))


def plain(column: pd.Series) -> pd.Series:
    """[n], the same values in pandas' own types, where they are sparse or of Arrow's types.

    Arrow's integers stay as they are, since pandas has none of its own that may be missing.
    """
    if isinstance(column.dtype, pd.SparseDtype):
        return column.sparse.to_dense()
    if not isinstance(column.dtype, pd.ArrowDtype) or column.dtype.kind in "iu":
        return column
    values = pa.array(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return pd.Series(values.to_pandas().to_numpy(), column.index, name=column.name)


def _of_sparse(x: Any) -> np.ndarray:
    """As of the dense matrix: from the sum of rows of zeros what is there differs by its own."""
    rows = x.tocsr().copy()
    rows.sum_duplicates()
    kind = np.float64 if np.issubdtype(rows.dtype, np.floating) else np.int64
    names = hashing.column_hash(pa.array([f"x{i}" for i in range(x.shape[1])], pa.string()))
    zero = hashing.column_hash(pa.array(np.zeros(1, kind)))
    values = hashing.column_hash(pa.array(rows.data.astype(kind)))
    with np.errstate(over="ignore"):
        own = hashing.splitmix64(values ^ names[rows.indices])
        own -= hashing.splitmix64(zero ^ names[rows.indices])
        sums = np.append(np.zeros(1, np.uint64), np.cumsum(own, dtype=np.uint64))
        total = hashing.splitmix64(zero ^ names).sum(dtype=np.uint64)
        total = total + sums[rows.indptr[1:]] - sums[rows.indptr[:-1]]
    return hashing.splitmix64(total).view(np.int64)


def _arrow(column: pd.Series) -> pa.Array:
    """As `hashing.row_ids` takes it."""
    column = plain(column)
    if column.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return pa.array(column.to_numpy(np.float64, na_value=np.nan))
    try:
        values = pa.array(column, from_pandas=True)
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_temporal(values.type):
            narrow = values.type.bit_width == 32
            values = values.cast(pa.int32()) if narrow else values
            values = values.cast(pa.int64())
        hashing.column_hash(values.slice(0, 1))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([_word(value) for value in column], pa.large_binary())
    return values


def _word(value: Any) -> bytes | None:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return value
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    if isinstance(value, bool | int | np.bool_ | np.integer):
        return str(int(value)).encode()
    if isinstance(value, set | frozenset):
        value = sorted(map(repr, value))  # they have no order of their own
    kind = type(value)
    # What Python says of a plain object is where it lies, another place in each run.
    plain = vars(object)["__repr__"]
    said = "" if kind.__repr__ is plain else repr(value)
    return f"{kind.__qualname__}:{said}".encode("utf-8", "surrogatepass")
