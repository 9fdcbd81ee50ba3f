"""Columns of any type of NumPy, pandas and Arrow: right, or refused by the column's name."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams

N = 24
LABELS = np.where(np.arange(N) % 4 == 0, "few", "many")
FEW = LABELS == "few"
NUMPY = [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)]
NUMPY += ["f2", "f4", "f8", "longdouble", "c8", "c16", "?", "U3", "S3", "M8[ns]", "m8[ns]"]
NULLABLE = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"]
NULLABLE += ["Float32", "Float64", "boolean"]
INTEGERS = {np.dtype(name): pa.from_numpy_dtype(name) for name in NUMPY[:8]}
WORDS = st.text("ab\u00e9 01", min_size=1, max_size=3)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
OBJECTS = {
    "integers": st.integers(-(2**70), 2**70),
    "numbers": st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, width=32),
    "decimals": st.decimals(allow_nan=False, allow_infinity=False, places=2),
    "words": WORDS,
    "truth": st.booleans(),
    "days": MOMENTS.map(datetime.date),
    "gaps": st.none() | WORDS,
    "tuples": st.tuples(st.integers(0, 3), WORDS),
}
ARROW = {
    **{str(kind): (np.dtype(name), kind) for name, kind in INTEGERS.items()},
    "float": (np.dtype("f4"), pa.float32()),
    "double": (np.dtype("f8"), pa.float64()),
    "half": (np.dtype("f2"), pa.float16()),
    "bool": (np.dtype("?"), pa.bool_()),
}
ARROW_OBJECTS = {
    "text": (WORDS, pa.string()),
    "dictionary": (WORDS, pa.dictionary(pa.int32(), pa.string())),
    "timestamp": (MOMENTS, pa.timestamp("us")),
    "duration": (st.timedeltas(timedelta(-999), timedelta(999)), pa.duration("us")),
    "decimal": (st.decimals(-99, 99, places=2), pa.decimal128(6, 2)),
    "binary": (st.binary(max_size=3), pa.binary()),
}
TYPES = [*NUMPY, *NULLABLE, "Sparse[i1]", "Sparse[u8]", "Sparse[f4]", "category", "string", "zoned"]
TYPES += [f"object {name}" for name in OBJECTS]
TYPES += [f"arrow {name}" for name in (*ARROW, *ARROW_OBJECTS)]


def arrays_of(dtype):
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind in "fc" else {}
    if dtype.kind in "Mm":
        day = 86_400 * 10**9
        return npst.arrays("i8", N, elements=st.integers(-99 * day, 99 * day)).map(
            lambda values: values.view(dtype)
        )
    if dtype == np.longdouble:
        return arrays_of(np.dtype("f8")).map(lambda values: values.astype(dtype) / 3)
    return npst.arrays(dtype, N, elements=npst.from_dtype(dtype, **elements))


def lists_of(values):
    return st.lists(values, min_size=N, max_size=N)


def arrow(values, kind):
    made = pa.array(values, kind.value_type) if pa.types.is_dictionary(kind) else None
    made = pa.array(values, kind) if made is None else made.dictionary_encode()
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([made])))


def columns_of(name):
    """A strategy of columns of the type, Series [N]."""
    group, _, kind = name.partition(" ")
    if group == "object":
        return lists_of(OBJECTS[kind]).map(lambda values: pd.Series(values, dtype=object))
    if kind in ARROW:
        dtype, arrow_type = ARROW[kind]
        return arrays_of(dtype).map(lambda values: arrow(values, arrow_type))
    if kind in ARROW_OBJECTS:
        values, arrow_type = ARROW_OBJECTS[kind]
        return lists_of(values).map(lambda values: arrow(values, arrow_type))
    if name.startswith("Sparse"):
        return arrays_of(np.dtype(name[7:-1])).map(
            lambda values: pd.Series(pd.arrays.SparseArray(values))
        )
    if name in NULLABLE:
        dtype = np.dtype("?" if name == "boolean" else name.lower())
        gaps = st.just(np.zeros(N, bool)) | npst.arrays("?", N)
        return st.tuples(arrays_of(dtype), gaps).map(
            lambda made: pd.Series(pd.array(made[0], name)).mask(made[1])
        )
    if name in ("category", "string"):
        return lists_of(WORDS).map(lambda values: pd.Series(values, dtype=name))
    if name == "zoned":
        return lists_of(MOMENTS).map(lambda values: pd.Series(pd.to_datetime(values, utc=True)))
    return arrays_of(np.dtype(name)).map(pd.Series)


def frame_of(column):
    return pd.DataFrame({"other": np.arange(N) % 7, "column": column})


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_copied_and_kept_rows_are_rows_of_the_input(name, data):
    frame = frame_of(data.draw(columns_of(name)))
    for method in ("over", "under"):
        done = resample(frame, LABELS, RebalanceParams(method=method))
        expected = frame.take(done.index).astype(frame.dtypes)
        pd.testing.assert_frame_equal(done.x, expected)
        assert (done.y == LABELS[done.index]).all()


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_synthetic_values_lie_between_those_of_their_class_or_are_refused(name, data):
    column = data.draw(columns_of(name))
    frame = frame_of(column)
    params = RebalanceParams(method="smote", k_neighbors=3)
    try:
        done = resample(frame, LABELS, params)
    except UserError as error:
        assert "column 'column'" in str(error) or "(column)" in str(error)
        return
    pd.testing.assert_series_equal(done.x.dtypes, frame.dtypes)
    pd.testing.assert_frame_equal(done.x[:N], frame)
    made, own = (list(done.x["column"][N:]), list(column[FEW]))
    assert len(made) == N - 2 * FEW.sum()
    assert min(own) <= min(made)
    assert max(made) <= max(own)
