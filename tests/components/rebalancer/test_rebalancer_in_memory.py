"""Rebalancing of arrays and frames."""

from collections import Counter
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import NearMiss, RandomUnderSampler, TomekLinks
from sklearn.neighbors import NearestNeighbors

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.rows import FileRows
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams

SMOTE = RebalanceParams(method="smote", k_neighbors=3, seed=1)
SMOTE_NC = RebalanceParams(method="smote_nc", k_neighbors=3, seed=1)
OVER = RebalanceParams(method="over")
UNDER = RebalanceParams(method="under", seed=2)


def make(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return x, np.where(np.arange(n) % 4 == 0, "yes", "no")


def table(n=60):
    x, y = make(n)
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(x, columns=["c", "a", "b"])
    frame["job"] = rng.choice(["cook", "smith", "tailor"], n)
    frame["town"] = pd.Categorical(rng.choice(["B", "A"], n), categories=["Z", "B", "A"])
    frame["old"] = rng.random(n) < 0.5
    frame["zip"] = rng.choice([10, 20, 70], n).astype(np.int16)
    return frame, y


def params_of(method):
    params = {"smote": SMOTE, "smote_nc": SMOTE_NC, "over": OVER, "under": UNDER}
    return params.get(method) or RebalanceParams(method=method)


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8]
)
def test_an_array_comes_back_as_an_array_of_its_type(dtype):
    x, y = make()
    x = (np.abs(x) * 50).astype(dtype)
    done = resample(x, y, SMOTE)
    assert isinstance(done.x, np.ndarray)
    assert done.x.dtype == dtype
    assert done.x.shape == (90, 3)
    np.testing.assert_array_equal(done.x[:60], x)
    assert done.y.dtype == y.dtype
    assert Counter(done.y.tolist()) == {"no": 45, "yes": 45}


@pytest.mark.parametrize("method", ["over", "smote", "tomek_links", "under"])
def test_index_y_and_x_belong_together(method):
    x, y = make()
    done = resample(x, y, params_of(method))
    kept = done.index >= 0
    assert done.index.dtype == np.int64
    assert len(done.x) == len(done.y) == len(done.index) == len(done.weights)
    np.testing.assert_array_equal(done.x[kept], x[done.index[kept]])
    np.testing.assert_array_equal(done.y[kept], y[done.index[kept]])
    # Rows of the input first, in their order, then the synthetic ones.
    assert (np.diff(done.index[kept]) >= 0).all()
    assert kept[: kept.sum()].all()
    assert (done.y[~kept] == "yes").all()
    assert len(done.origin) == (~kept).sum() == sum(done.report.synthetic.values())
    np.testing.assert_array_equal(done.weights, np.ones(len(done.y)))
    assert Counter(done.y.tolist()) == done.report.after


@pytest.mark.parametrize(
    ("method", "theirs"), [("over", RandomOverSampler()), ("under", RandomUnderSampler())]
)
def test_class_counts_are_those_of_imbalanced_learn(method, theirs):
    x, y = make()
    _, expected = theirs.fit_resample(x, y)
    assert Counter(resample(x, y, params_of(method)).y.tolist()) == Counter(expected.tolist())


def test_cleaning_removes_the_rows_that_imbalanced_learn_removes():
    x, y = make(200)
    theirs = TomekLinks()
    theirs.fit_resample(x, y)
    done = resample(x, y, RebalanceParams(method="tomek_links"))
    np.testing.assert_array_equal(done.index, np.sort(theirs.sample_indices_))
    assert len(done.index) < 200


def test_synthetic_rows_lie_where_their_origin_says():
    x, y = make()
    done = resample(x.astype(np.float64), y, SMOTE)
    start, end = (x[done.origin[name]].astype(np.float64) for name in ("base", "neighbor"))
    gap = done.origin["gap"].to_numpy(np.float64)[:, None]
    np.testing.assert_allclose(done.x[60:], start + gap * (end - start), atol=1e-6)
    assert set(done.origin["method"]) == {"smote"}
    assert (y[done.origin["base"]] == "yes").all()
    yes = np.flatnonzero(y == "yes")
    near = yes[NearestNeighbors(n_neighbors=3).fit(x[yes]).kneighbors()[1]]
    for base, neighbor in zip(done.origin["base"], done.origin["neighbor"], strict=True):
        assert neighbor in near[np.searchsorted(yes, base)]


def test_weights_of_downsampling():
    x, y = make()
    done = resample(x, y, RebalanceParams(method="downsample_upweight"))
    np.testing.assert_array_equal(done.weights, np.where(done.y == "no", 3.0, 1.0))
    assert len(done.y) == 30


def test_repeats_exactly_and_with_another_seed_does_not():
    x, y = make()
    first, again = resample(x, y, SMOTE), resample(x, y, SMOTE)
    np.testing.assert_array_equal(first.x, again.x)
    other = resample(x, y, SMOTE.model_copy(update={"seed": 2}))
    assert not (first.x[60:] == other.x[60:]).any()


@pytest.mark.parametrize("method", ["smote", "under", "tomek_links", "rose"])
def test_order_of_the_rows_does_not_matter(method):
    x, y = make()
    order = np.random.default_rng(3).permutation(60)
    first, second = (resample(x[i], y[i], params_of(method)) for i in (np.arange(60), order))
    rows = [
        Counter(zip(map(tuple, done.x.tolist()), done.y.tolist(), strict=True))
        for done in (first, second)
    ]
    assert rows[0] == rows[1]


def test_a_frame_keeps_its_columns_types_and_categories():
    frame, y = table()
    frame.index = np.arange(60)[::-1]
    done = resample(frame, y, SMOTE_NC, categorical=["zip"])
    assert list(done.x.columns) == list(frame.columns)
    pd.testing.assert_series_equal(done.x.dtypes, frame.dtypes)
    pd.testing.assert_frame_equal(done.x[:60], frame.reset_index(drop=True))
    assert list(done.x.index) == list(range(90))
    made = done.x[60:]
    assert set(made["zip"]) <= {10, 20, 70}
    assert set(made["job"]) <= {"cook", "smith", "tailor"}
    assert set(made["town"]) <= {"A", "B"}
    assert not made.isna().any().any()
    # Each category is the most frequent one among the three nearest, so it is one of a "yes".
    for name in ("job", "town", "old", "zip"):
        assert set(made[name]) <= set(frame[name][y == "yes"])


def test_columns_of_text_categories_and_truth_values_are_categorical_by_themselves():
    frame, y = table()
    for name in ("job", "town", "old"):
        with pytest.raises(UserError, match=rf"categorical features \({name}\)"):
            resample(frame[["a", name]], y, SMOTE)
    resample(frame[["a", "zip"]], y, SMOTE)
    with pytest.raises(UserError, match=r"categorical features \(zip\)"):
        resample(frame[["a", "zip"]], y, SMOTE, categorical=["zip"])


def test_columns_of_an_array_are_categorical_by_index():
    x, y = make()
    x[:, 1] = np.arange(60) % 3
    for index in (1, -2, np.int64(1)):
        done = resample(x, y, SMOTE_NC, categorical=[index])
        assert done.x.dtype == np.float32
        assert set(done.x[60:, 1].tolist()) <= {0.0, 1.0, 2.0}
    with pytest.raises(UserError, match=r"categorical features \(x1\)"):
        resample(x, y, SMOTE, categorical=[1])


def test_columns_of_a_frame_are_categorical_by_name_though_the_name_is_a_number():
    x, y = make()
    frame = pd.DataFrame(x, columns=[2, 0, 7])
    for name in (0, 7):
        with pytest.raises(UserError, match=rf"categorical features \({name}\)"):
            resample(frame, y, SMOTE, categorical=[name])


@pytest.mark.parametrize(("dtype", "kind"), [("Int32", "n"), ("Float64", "n"), ("boolean", "c")])
def test_nullable_types_are_kept_too(dtype, kind):
    frame, y = table()
    frame = frame[["a"]].assign(z=(np.arange(60) % 2).astype(dtype.lower().replace("ean", "")))
    frame["z"] = frame["z"].astype(dtype)
    done = resample(frame, y, SMOTE if kind == "n" else SMOTE_NC)
    assert str(done.x["z"].dtype) == dtype
    assert not done.x["z"].isna().any()


def test_a_missing_nullable_number_is_told():
    frame, y = table()
    frame = frame[["a"]].assign(z=pd.array([None, *range(59)], "Float64"))
    must_say("column 'z'", frame, y)


def test_values_past_the_range_of_a_small_integer_do_not_wrap():
    x, y = make(400)
    x = np.where(np.arange(400)[:, None] % 7 < 3, 0, 2).astype(np.uint8).repeat(2, axis=1)
    done = resample(x, y, RebalanceParams(method="rose"))
    assert done.x.max() < 50


def test_an_array_of_objects_has_its_numbers_as_numbers():
    x, y = make()
    mixed = x.astype(object)
    mixed[:, 2] = np.where(np.arange(60) % 3, "a", "b")
    done = resample(mixed, y, SMOTE_NC)
    assert done.x.dtype == object
    assert set(done.x[60:, 2]) <= {"a", "b"}
    assert not np.isin(done.x[60:, 0].astype(float), x[:, 0]).all()


def test_the_given_table_is_left_as_it_was():
    frame, y = table()
    before, labels = frame.copy(), y.copy()
    done = resample(frame, y, SMOTE_NC)
    done.x.iloc[0, 0] = 99
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(y, labels)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: (y == "yes").astype(int),
        lambda y: y == "yes",
        lambda y: pd.Series(y, index=range(100, 160)),
        lambda y: pd.Series(pd.Categorical(y, categories=["yes", "no", "never"])),
        lambda y: y.tolist(),
        lambda y: y.astype(object),
    ],
    ids=["ints", "truth", "series", "categories", "list", "objects"],
)
def test_classes_may_be_of_any_sort_and_keep_it(labels):
    x, y = make()
    given = labels(y)
    done = resample(x, given, SMOTE)
    assert np.asarray(done.y).dtype == np.asarray(given).dtype
    np.testing.assert_array_equal(done.y[:60], np.asarray(given))
    rows = sorted(Counter(done.y.tolist()).values())
    assert rows == [45, 45]
    assert list(done.report.before.values()) in ([45, 15], [15, 45])
    assert set(done.report.before) == {str(v).lower() for v in np.unique(np.asarray(given))}


def test_a_strategy_may_name_classes_by_text():
    x, y = make()
    params = SMOTE.model_copy(update={"sampling_strategy": {"1": 20}})
    done = resample(x, (y == "yes").astype(int), params)
    assert Counter(done.y.tolist()) == {0: 45, 1: 20}


def must_say(told, x, y, params=SMOTE, **given):
    with pytest.raises(UserError, match=told) as error:
        resample(x, y, params, **given)
    assert "\n" not in str(error.value)


def test_lengths_that_differ_are_told():
    x, y = make()
    must_say("x has 60 rows, y has 59", x, y[1:])


def arrow(values, kind=None):
    values = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([values])))


NOT_64_BITS = {
    "uint64": np.arange(60, dtype=np.uint64) + np.uint64(2**63),
    "nullable": pd.array(np.arange(60, dtype=np.uint64) + np.uint64(2**63)),
    "arrow": arrow([2**63 + i for i in range(60)], pa.uint64()),
    "integers": np.array([2**70 + i for i in range(60)], object),
    "mixed": np.array([2**53 + 1, 1.5] * 30, object),
    "complex": np.arange(60) + 1j,
    "longdouble": 1 + np.arange(60) * np.finfo(np.longdouble).eps,
    "decimal": [Decimal(i) / 3 for i in range(60)],
    "arrow decimal": arrow([Decimal(i) for i in range(60)], pa.decimal128(4, 2)),
    "time": pd.date_range("2026-01-01", periods=60),
    "zoned": pd.date_range("2026-01-01", periods=60, tz="UTC"),
    "arrow time": arrow(pd.date_range("2026-01-01", periods=60), pa.timestamp("ns")),
    "delta": pd.to_timedelta(np.arange(60), "h"),
    "period": pd.period_range("2026-01", periods=60, freq="M"),
    "date": [day.date() for day in pd.date_range("2026-01-01", periods=60)],
}


@pytest.mark.parametrize("name", NOT_64_BITS)
@pytest.mark.parametrize("method", ["smote", "smote_nc", "rose", "tomek_links"])
def test_values_that_are_no_numbers_of_64_bits_are_told(name, method):
    frame, y = table()
    frame = frame[["a", "job"] if method == "smote_nc" else ["a"]].assign(odd=NOT_64_BITS[name])
    must_say(r"column 'odd': .* \(row \d+\) is neither a number that", frame, y, params_of(method))


@pytest.mark.parametrize("name", [name for name in NOT_64_BITS if name != "complex"])
def test_what_is_no_number_of_64_bits_may_be_a_category(name):
    frame, y = table()
    frame = frame[["a"]].assign(odd=NOT_64_BITS[name])
    done = resample(frame, y, SMOTE_NC, categorical=["odd"])
    assert done.x["odd"].dtype == frame["odd"].dtype
    assert set(done.x["odd"][60:]) <= set(frame["odd"][y == "yes"])


@pytest.mark.parametrize(
    "values",
    [
        pd.array(np.arange(60) % 2, "UInt8"),
        pd.array(np.where(np.arange(60) % 2, -128, 127), "Int8"),
        pd.array(np.where(np.arange(60) % 2, 0, 2**63 - 1), "UInt64"),
        np.full(60, 2**62 + 1, np.uint64),
        pd.arrays.SparseArray((np.arange(60) % 2).astype(np.uint8)),
        arrow(np.arange(60) % 2, pa.uint8()),
        arrow(np.arange(60.0), pa.float64()),
        arrow((np.arange(60) % 2 * 65000).astype(np.float16), pa.float16()),
        np.where(np.arange(60) % 2, -65000, 65000).astype(np.float16),
        np.where(np.arange(60) % 2, np.iinfo(np.int64).min, np.iinfo(np.int64).max),
    ],
    ids=lambda values: str(values.dtype),
)
def test_numbers_of_any_type_keep_it_and_its_range(values):
    frame, y = table()
    frame = frame[["a"]].assign(number=values)
    some = pd.Series(values)[y == "yes"].astype(object)
    for method in ("smote", "rose"):
        done = resample(frame, y, params_of(method))
        assert done.x["number"].dtype == frame["number"].dtype
        made = done.x["number"][60:].astype(object)
        assert np.isfinite(made.astype(np.float64)).all()
        if method == "smote":
            assert some.min() <= made.min()
            assert made.max() <= some.max()


def test_a_gap_in_a_column_of_arrow_s_floats_is_one():
    frame, y = table()
    frame = frame[["a"]].assign(gap=arrow([None, *range(59)], pa.float64()))
    must_say("column 'gap' is missing", frame, y)
    assert resample(frame, y, OVER).x["gap"].dtype == frame["gap"].dtype


def test_words_in_arrow_s_dictionary_are_categories():
    frame, y = table()
    coded = frame[["a"]].assign(job=arrow(pa.array(frame["job"]).dictionary_encode()))
    done = resample(coded, y, SMOTE_NC)
    assert done.x["job"].dtype == coded["job"].dtype
    assert done.x["job"].tolist() == resample(frame[["a", "job"]], y, SMOTE_NC).x["job"].tolist()
    resample(coded, y, UNDER)


@pytest.mark.parametrize("form", [pd.DataFrame, np.asarray, scipy.sparse.csr_matrix])
def test_a_table_without_columns(form):
    x, y = form(np.empty((60, 0))), make()[1]
    assert resample(x, y, OVER).x.shape == (90, 0)
    assert resample(x, y, UNDER).x.shape == (30, 0)
    for method in ("smote", "smote_nc", "rose", "tomek_links"):
        must_say("x has no columns, but method", x, y, params_of(method))
    outliers = RebalanceParams(method="over", outliers={"method": "robust"})
    must_say("x has no columns.*outliers.method robust", x, y, outliers)


def test_several_columns_of_classes_are_told():
    x, y = make()
    must_say(r"^y\b", x, np.column_stack([y, y]), OVER)


def test_masked_and_ragged_classes_are_told():
    x, y = make()
    must_say(
        "y is an array with masked", x, np.ma.masked_array(np.arange(60) % 2, y == "yes"), OVER
    )
    must_say("y is no list of classes", x, [[1], [1, 2]] * 30, OVER)


def test_a_tuple_of_classes_is_as_a_list():
    x, y = make()
    assert resample(x, tuple(y.tolist()), OVER).y.dtype == y.dtype


def test_one_class_is_told():
    x, y = make()
    must_say(r"rows of 1 class \(no\)", x[y == "no"], y[y == "no"], OVER)


def test_no_rows_are_told():
    must_say("no rows|rows of 0 class", np.empty((0, 2)), np.array([], object), OVER)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_none_is_told_where_the_method_needs_it(value):
    frame, y = table()
    frame = frame[["a", "b", "c"]].copy()
    frame.loc[8, "b"] = value
    must_say("column 'b' is missing, NaN or infinite", frame, y)
    assert len(resample(frame, y, OVER).y) == 90


def test_a_missing_number_of_a_class_that_does_not_grow_is_none_of_its_business():
    frame, y = table()
    frame = frame[["a", "b"]].copy()
    frame.loc[1, "b"] = np.nan
    assert y[1] == "no"
    assert len(resample(frame, y, SMOTE).y) == 90


def test_a_missing_integer_is_told():
    frame, y = table()
    frame = frame[["a"]].assign(n=pd.array([None, *range(59)], "Int64"))
    must_say("'n'", frame, y)


def test_missing_categories_are_told():
    frame, y = table()
    frame.loc[3, "job"] = None
    must_say("column 'job': categories are missing", frame, y, SMOTE_NC)


@pytest.mark.parametrize("missing", [np.nan, None], ids=["nan", "none"])
def test_missing_classes_are_told(missing):
    x, y = make()
    y = y.astype(object)
    y[5] = missing
    must_say(r"^y\b", x, y, OVER)


def test_missing_numeric_classes_are_told():
    x, y = make()
    must_say(r"^y\b", x, np.where(np.arange(60) == 5, np.nan, y == "yes"), OVER)


def test_unknown_categorical_columns_are_told():
    frame, y = table()
    must_say("categorical: no column 'nowhere'", frame, y, categorical=["nowhere"])
    x, y = make()
    must_say("categorical: .*9", x, y, categorical=[9])


def test_columns_of_one_name_are_told():
    x, y = make()
    must_say("column.* 'a'", pd.DataFrame(x, columns=["a", "b", "a"]), y)


def test_too_few_rows_for_the_neighbours_are_told():
    x, y = make()
    must_say(r"^rebalance.k_neighbors: 30", x, y, SMOTE.model_copy(update={"k_neighbors": 30}))


def test_report_is_that_of_the_component():
    x, y = make()
    report = resample(x, y, SMOTE).report
    assert report.before == {"no": 45, "yes": 15}
    assert report.synthetic == {"no": 0, "yes": 30}
    assert report.factors == {"no": 1, "yes": 3}
    assert (report.kind, report.row_identity) == ("approximate", "computed")


def anything(n=60):
    """A column of each sort, with missing values where there can be some."""
    rng = np.random.default_rng(8)
    gaps = np.arange(n) % 7 == 0
    number = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "nan": np.where(gaps, np.nan, number),
            "inf": np.where(gaps, np.inf, number),
            "none": np.where(gaps, None, "a"),
            "mixed": [None if i % 7 == 0 else [i, f"{i}", 1.5 * i][i % 3] for i in range(n)],
            "tuples": [(i % 4, "x") for i in range(n)],
            "sets": [frozenset({"a", f"b{i % 3}"}) for i in range(n)],
            "lists": [[i, i + 1] for i in range(n)],
            "plain": [object() for _ in range(n)],
            "words": pd.array(np.where(gaps, None, "w"), "string"),
            "Int64": pd.array([None if g else i for i, g in enumerate(gaps)], "Int64"),
            "boolean": pd.array([None if g else g for g in gaps], "boolean"),
            "Float64": pd.array(np.where(gaps, None, number), "Float64"),
            "uint64": np.full(n, 2**64 - 1, np.uint64),
            "complex": number + 1j,
            "sparse": pd.arrays.SparseArray(np.where(gaps, 0.0, number)),
            "category": pd.Categorical(np.where(gaps, None, "c"), categories=["z", "c"]),
            "day": pd.Series(pd.date_range("2026-01-01", periods=n)).mask(gaps),
            "zoned": pd.date_range("2026-01-01", periods=n, tz="Europe/Paris"),
            "period": pd.period_range("2026-01", periods=n, freq="M"),
            "interval": pd.interval_range(0, n),
            "delta": pd.Series(pd.to_timedelta(np.arange(n), "h")).mask(gaps),
            "nat": pd.to_timedelta([np.nan] * n),
            "date": [d.date() for d in pd.date_range("2026-01-01", periods=n)],
            "bytes": [bytes([i]) for i in range(n)],
            "surrogate": ["\udcff"] * n,
        }
    )
    frame.index = np.arange(n) * 10
    return frame, make(n)[1]


@pytest.mark.parametrize("method", ["none", "over", "under", "both", "downsample_upweight"])
def test_methods_that_copy_or_drop_take_any_column(method):
    frame, y = anything()
    before = frame.copy()
    done = resample(frame, pd.Series(y, frame.index, name="why"), RebalanceParams(method=method))
    pd.testing.assert_frame_equal(done.x, frame.iloc[done.index])
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_index_equal(done.y.index, done.x.index)
    assert Counter(done.y) == done.report.after
    one = resample(frame[["mixed"]], y, RebalanceParams(method=method))
    assert len(one.y) == len(done.y)


@pytest.mark.parametrize("method", ["under", "over"])
@pytest.mark.parametrize("name", [name for name in anything()[0] if name != "plain"])
def test_what_is_drawn_by_any_column_does_not_depend_on_the_order(method, name):
    frame, y = anything()
    order = np.random.default_rng(3).permutation(60)
    params = RebalanceParams(method=method, sampling_strategy=0.5)
    first = resample(frame[[name]].assign(n=np.arange(60)), y, params)
    second = resample(frame[[name]].assign(n=np.arange(60)).iloc[order], y[order], params)
    assert Counter(first.x["n"]) == Counter(second.x["n"])


def test_any_array_may_be_copied_or_dropped():
    frame, y = anything()
    x = frame[["none", "mixed", "nan", "day"]].to_numpy(object)
    done = resample(x, y, UNDER)
    assert done.x.dtype == object
    assert done.x.tolist() == x[done.index].tolist() or pd.isna(done.x).any()
    text = np.array([["a", "b"]] * 60)
    assert resample(text, y, OVER).x.dtype == text.dtype


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array"])
@pytest.mark.parametrize("method", ["under", "over", "smote", "tomek_links"])
def test_a_sparse_matrix_gives_the_rows_of_the_dense_one(kind, method):
    x, y = make()
    x[np.abs(x) < 0.5] = 0
    params = params_of(method)
    given = getattr(scipy.sparse, kind)(x)
    done, dense = resample(given, y, params), resample(x, y, params)
    assert type(done.x) is type(given)
    assert done.x.dtype == x.dtype
    np.testing.assert_array_equal(done.x.toarray(), dense.x)
    np.testing.assert_array_equal(done.index, dense.index)


def test_a_sparse_matrix_that_does_not_fit_as_a_dense_one_is_told():
    wide = scipy.sparse.random(60, 100_000, 1e-4, "csr", random_state=0)
    y = make()[1]
    small = SMOTE.model_copy(update={"memory_limit_mb": 10})
    must_say("sparse matrix of 60 x 100000.*memory_limit_mb.*over or under", wide, y, small)
    assert resample(wide, y, OVER.model_copy(update={"memory_limit_mb": 10})).x.shape == (
        90,
        100000,
    )


@pytest.mark.parametrize("method", ["smote", "under", "over", "tomek_links"])
def test_y_comes_back_as_it_came(method):
    x, y = make()
    params = params_of(method)
    codes = resample(x, y, params).y
    index = pd.Index(np.arange(60) * 3, name="key")
    series = resample(pd.DataFrame(x, index=index), pd.Series(y, index, name="fraud"), params)
    assert isinstance(series.y, pd.Series)
    assert series.y.name == "fraud"
    pd.testing.assert_index_equal(series.y.index, series.x.index)
    if method != "smote":
        pd.testing.assert_index_equal(series.y.index, index[series.index])
    categories = pd.Categorical(y, categories=["yes", "no", "never"], ordered=True)
    done = resample(x, categories, params).y
    assert done.dtype == categories.dtype
    np.testing.assert_array_equal(np.asarray(done), codes)
    frame = resample(x, pd.DataFrame({"fraud": y}), params).y
    assert list(frame.columns) == ["fraud"]
    np.testing.assert_array_equal(frame["fraud"], codes)
    assert resample(x, y[:, None], params).y.shape == (len(codes), 1)
    nullable = resample(x, pd.Series(y == "yes", dtype="boolean"), params).y
    assert nullable.dtype == "boolean"
    listed = resample(x, y.tolist(), params).y
    assert isinstance(listed, np.ndarray)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([3, 12], ["3", "12"]),
        ([3.0, 12.0], ["3", "12"]),
        (np.array([3, 12], np.uint8), ["3", "12"]),
        ([False, True], ["false", "true"]),
        (pd.array([False, True], "boolean"), ["false", "true"]),
        (np.array([False, "x"], object), ["false", "x"]),
        (["b", "yes "], ["b", "yes"]),
    ],
)
def test_classes_are_named_as_in_the_pipeline(values, names, tmp_path):
    x, y = make()
    chosen = pd.Series(values).iloc[(y == "yes").astype(int)].reset_index(drop=True)
    found = list(resample(x, chosen, OVER).report.before)
    assert found == names
    if chosen.dtype != object or isinstance(values, list):
        table = pa.table({"x": np.arange(60.0), "y": pa.array(chosen, from_pandas=True)})
        pq.write_table(table, tmp_path / "a.parquet")
        params = IngestParams(label="y")
        rows = FileRows(str(tmp_path / "a.parquet"), "parquet", params)
        for first, batch in rows.batches():
            rows.learn(batch)
            assert set(rows.convert(first, batch).classes.to_pylist()) == set(names)


def test_classes_of_one_name_are_told():
    x, y = make()
    mixed = np.full(60, "1", object)
    mixed[y == "yes"] = 1
    must_say("are both called '1'", x, mixed, OVER)


@pytest.mark.parametrize("values", [np.arange(60.0), np.linspace(0, 1, 60), np.arange(60)])
def test_a_target_of_many_numbers_is_refused_as_a_regression(values):
    must_say("regression", make()[0], values, OVER)
    must_say("regression", make()[0], pd.Series(values), OVER)


def test_majority_is_a_strategy():
    x, y = make(90)
    y[60:] = "perhaps"
    params = RebalanceParams(method="under", sampling_strategy="majority")
    theirs = RandomUnderSampler(sampling_strategy="majority").fit_resample(x, y)[1]
    assert Counter(resample(x, y, params).y) == Counter(theirs)
    must_say(
        "leaves the majority alone",
        x,
        y,
        OVER.model_copy(update=params.model_dump(include={"sampling_strategy"})),
    )


def test_a_strategy_may_name_classes_as_they_are():
    x, y = make()
    for positive in (1, True, 1.0):
        params = RebalanceParams(method="over", sampling_strategy={positive: 20})
        labels = (y == "yes").astype(type(positive))
        assert Counter(resample(x, labels, params).y)[positive] == 20


def test_near_miss_with_as_many_minority_rows_as_neighbours():
    x, y = make()
    for version in (1, 2, 3):
        params = RebalanceParams(method=f"near_miss_{version}", n_neighbors=15)
        done = resample(x, y, params)
        assert Counter(done.y) == {"no": 15, "yes": 15}
        if version < 3:
            theirs = NearMiss(version=version, n_neighbors=15)
            theirs.fit_resample(x.astype(float), y)
            np.testing.assert_array_equal(done.index, np.sort(theirs.sample_indices_))
        must_say("n_neighbors: 16", x, y, params.model_copy(update={"n_neighbors": 16}))


def test_a_user_error_is_a_value_error():
    x, y = make()
    with pytest.raises(ValueError, match="y has 59"):
        resample(x, y[1:], SMOTE)


def test_columns_that_are_neither_numbers_nor_categories_are_told():
    x, y = make()
    odd = pd.DataFrame(x).assign(odd=[{"a": 1}] * 60)
    must_say("column 'odd'", odd, y)


def test_a_table_that_is_none_is_told():
    x, y = make()
    must_say("masked", np.ma.masked_array(x, x > 0), y, UNDER)
    must_say("x is no table", [[1], [1, 2]] * 30, y, UNDER)
    must_say("x has 1 dimensions", x[:, 0], y, UNDER)
    assert resample(np.ma.masked_array(x), y, UNDER).x.shape == (30, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        [0.5, 1.5],
        pd.array([0.5, 1.5], "Float64"),
        [np.inf, 1.0],
        [1j, 1],
        ["", "a"],
        pd.to_datetime(["2026-01-01", "2026-01-02"]),
        pd.Series([(1, 2), (3, 4)]),
        pd.Series([[1], [2]]),
        pd.Categorical(["a", None]),
        pd.array(["a", None], "string"),
    ],
)
def test_values_that_are_no_classes_are_told(wrong):
    must_say("y", make()[0], pd.Series(wrong).iloc[np.arange(60) % 2], OVER)


def test_whole_numbers_among_objects_are_classes():
    x, y = make()
    done = resample(x, np.where(y == "yes", 1.0, 0.0).astype(object), OVER)
    assert done.report.after == {"0": 45, "1": 45}
    assert done.y.dtype == object


TEXTS = [
    ("$5", "5"),
    ("10%", "10"),
    ("(1)", "-1"),
    ("01", "1"),
    ("007", "7", "7.0"),
    ("1,000", "1000", "1e3"),
    ("true", "True", "nan", "null"),
    ("9007199254740993", "9007199254740992", "1.0"),
]
FORMS = {
    "text": np.asarray,
    "list": list,
    "objects": lambda y: np.array(y, object),
    "series": pd.Series,
    "string": lambda y: pd.Series(y, dtype="string"),
    "categories": pd.Categorical,
    "arrow": lambda y: arrow(y, pa.string()),
    "dictionary": lambda y: arrow(pa.array(y).dictionary_encode()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("texts", TEXTS, ids="|".join)
def test_each_text_is_a_class_of_its_own_and_y_comes_back_as_it_came(texts, form):
    words = [texts[min(i % 8, len(texts) - 1)] for i in range(60)]
    y = FORMS[form](words)
    for method in ("smote", "under"):
        done = resample(make()[0], y, params_of(method))
        assert done.report.before == Counter(words)
        assert Counter(done.y) == done.report.after
        kept = done.index >= 0
        assert list(done.y[kept]) == [words[row] for row in done.index[kept]]
        if form != "list":
            assert type(done.y) is type(y)
            assert done.y.dtype == y.dtype


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([2**53 + 1, 2**53, 1.0], {"9007199254740993", "9007199254740992", "1"}),
        (["a", 1], {"a", "1"}),
        (np.array([2**64 - 1, 2**63], np.uint64), {"18446744073709551615", "9223372036854775808"}),
        (pd.array([-1, 1], "Int8"), {"-1", "1"}),
        (pd.arrays.SparseArray([0, 1]), {"0", "1"}),
    ],
)
def test_each_number_is_a_class_of_its_own(values, names):
    y = [values[i % len(values)] for i in range(60)]
    y = y if isinstance(values, list) else pd.Series(y, dtype=values.dtype)
    done = resample(make()[0], y, OVER)
    assert set(done.report.after) == names
    assert set(map(repr, done.y)) == set(map(repr, y))
