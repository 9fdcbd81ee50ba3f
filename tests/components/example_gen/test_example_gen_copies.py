"""Identity by the source's own values, and which copy of its identity a row is."""

import random
from collections import Counter, defaultdict
from decimal import Context, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import copies
from tfx_imbalance.components.example_gen.kinds import Kind, exact_hash, typed
from tfx_imbalance.components.hashing import column_hash

from .conftest import csv_text, run_ingest

SOME = st.integers(0, 2)
ROWS = st.lists(st.tuples(SOME, SOME, SOME, SOME, SOME, st.booleans()), max_size=60)
EVERY = [(i % 9, i % 3, 10 + i % 20, i % 6, 0, i % 2 == 0) for i in range(60)]
"""Enough rows of each class for three splits, whatever is added."""
HOW = [
    {},
    {"weight": "w"},
    {"split": {"mode": "stable"}, "exclude": ("g",), "group_by": "g"},
    {"order_by": "t", "exclude": ("t", "g"), "split": {"key": ("a",)}},
    {"exclude": ("g", "a"), "split": {"key": ("a",)}, "weight": "w"},
]


def table_of(rows):
    names = ("a", "b", "g", "t", "w", "y")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def spread(folder, rows, files, seed):
    """Writes the rows, shuffled, to so many files of random sizes."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    cuts = sorted(random.Random(seed + 1).choices(range(len(rows) + 1), k=files - 1))
    for i, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True)):
        (Path(folder) / f"{i}.csv").write_text(csv_text(table_of(order[start:end])))


@settings(deadline=None, max_examples=20)
@given(rows=ROWS, files=st.integers(1, 4), seed=st.integers(0, 99), how=st.sampled_from(HOW))
def test_what_is_written_does_not_depend_on_where_rows_stand(rows, files, seed, how):
    rows = EVERY + [(*row[:3], row[3] + 5, *row[4:]) for row in rows]
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        spread(one, rows, 1, 0)
        spread(other, rows, files, seed)
        found = run_ingest(one, **how)
        assert run_ingest(other, **how).content() == found.content()
    numbers = defaultdict(list)
    for row in found.rows:
        numbers[row["_row_id"]].append(row["_row_copy"])
    assert all(sorted(n) == list(range(len(n))) for n in numbers.values())


@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(SOME, SOME, SOME, SOME, SOME, SOME), min_size=1, max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=3),
    block=st.integers(1, 9),
)
def test_rows_of_an_identity_are_ordered_by_class_group_time_weight_and_content(rows, cuts, block):
    """Oracle: pandas, over all rows at once."""
    frame = pd.DataFrame(rows, columns=["id", "class", *copies.TIES]).astype(np.int64)
    frame["weight"] = frame["weight"].astype(np.float32)
    cuts = sorted({min(cut, len(frame)) for cut in cuts})
    parts = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
    names = ["a", "b", "c"]
    ties = [{name: part[name].to_numpy() for name in copies.TIES} for part in parts]
    numbers, firsts = copies.number(
        [part["id"].to_numpy() for part in parts],
        [part["class"].to_numpy() for part in parts],
        names,
        ties,
    )
    ordered = frame.sort_values(["id", "class", *copies.TIES], kind="stable")
    expected = ordered.groupby("id").cumcount().sort_index()
    assert numbers.tolist() == expected.tolist()

    words = copies.class_words(pa.array(names))
    again = []
    for i, part in enumerate(parts):
        counter = firsts.counter(i)
        for start in range(0, len(part), block):
            rows = part[start : start + block]
            tied = {name: rows[name].to_numpy() for name in copies.TIES}
            again += counter.number(rows["id"].to_numpy(), words[rows["class"]], tied).tolist()
    assert again == expected.tolist()


def test_rows_without_a_label_have_no_number(ingest, tmp_path):
    table = {"a": [1] * 8 + list(range(20)), "y": ["u", None] * 4 + ["u", "v"] * 10}
    (tmp_path / "a.csv").write_text(csv_text(table))
    found = ingest(tmp_path / "a.csv", unlabelled="drop")
    numbers = Counter(row["_row_copy"] for row in found.rows if row["a"] == 1)
    assert numbers == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}


WIDEST = Context(prec=60)
WIDE = [10**19 + i for i in range(300)]


def groups_of(found):
    return len(set(found.column("_group_id")))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("digits.csv", [str(value) for value in WIDE]),
        ("some-digits.csv", [*map(str, WIDE[:150]), *map(str, range(150))]),
        ("decimals.csv", [f"{1000000123 + i}.0" for i in range(300)]),
        ("zeros.csv", [f"00{value}" for value in WIDE]),
        ("beyond-float64.csv", [*(str(2**53 + i) for i in range(299)), "0.5"]),
        ("decimal.parquet", pa.array([Decimal(v) for v in WIDE], pa.decimal128(38, 0))),
        ("cents.parquet", pa.array([Decimal(v) for v in WIDE], pa.decimal128(38, 2))),
        ("double.parquet", pa.array([1e9 + i for i in range(300)])),
        ("time.parquet", pa.array([10**15 + i for i in range(300)], pa.timestamp("us"))),
    ],
)
def test_values_that_a_float32_cannot_tell_apart_are_groups_of_their_own(
    ingest, tmp_path, name, values
):
    columns = {"cust": list(values) * 4, "x": list(range(1200)), "y": ["u", "v", "u"] * 400}
    if name.endswith(".csv"):
        (tmp_path / name).write_text(csv_text(columns))
    else:
        columns["cust"] = pa.concat_arrays([values] * 4)
        pq.write_table(pa.table(columns), tmp_path / name)
    assert groups_of(ingest(tmp_path / name, group_by="cust", exclude=("cust",))) == 300
    assert len(set(ingest(tmp_path / name, exclude=("x",)).column("_row_id"))) == 300


def test_a_wide_number_is_the_same_whatever_holds_it():
    sources = [
        (pa.array(["10000000000000000001"]), Kind.TEXT),
        (pa.array([" 010000000000000000001"]), Kind.FLOAT),
        (pa.array([Decimal(10**19 + 1)], pa.decimal128(38, 0)), Kind.FLOAT),
        (pa.array([Decimal(10**19 + 1)], pa.decimal128(38, 2)), Kind.FLOAT),
    ]
    found = {int(exact_hash(source, typed(source, kind))[0]) for source, kind in sources}
    assert found == {int(column_hash(pa.array([10**19 + 1], pa.uint64()))[0])}


@pytest.mark.parametrize("width", [pa.decimal128, pa.decimal256])
@settings(deadline=None, max_examples=50)
@given(
    unscaled=st.lists(
        st.none()
        | st.integers(-(2**54), 2**54)
        | st.sampled_from([115, 2**53, -(2**63), 2**63, 2**64 - 1, 2**64, 10**35])
        | st.integers(-(10**35), 10**35),
        min_size=1,
    ),
    scale=st.sampled_from([2, 0, 4, 22, 23, 38, -2]),
)
def test_a_decimal_is_the_number_that_its_text_is(width, unscaled, scale):
    """Oracle: Python's float of the text."""
    texts = [None if n is None else str(Decimal(n).scaleb(-scale, WIDEST)) for n in unscaled]
    decimals = pa.array([t and Decimal(t) for t in [None, *texts]], width(38, scale))[1:]
    expected = [t and float(t) for t in texts]
    found = typed(decimals, Kind.FLOAT)
    assert found.to_pylist() == typed(pa.array(texts), Kind.FLOAT).to_pylist() == expected
    hashes = exact_hash(decimals, found)
    as_csv = pa.array([t and format(Decimal(t), "f") for t in texts], pa.string())
    assert hashes.tolist() == exact_hash(as_csv, typed(as_csv, Kind.FLOAT)).tolist()
    floats = pa.array(expected, pa.float64())
    small = [value is None or abs(value) < 2**53 for value in expected]
    assert (hashes == exact_hash(floats, floats))[small].all()


def test_prices_are_the_same_rows_and_groups_whatever_holds_them(ingest, tmp_path):
    cents = [100 + i for i in range(300)] * 2
    prices = [Decimal(n).scaleb(-2) for n in cents]
    holders = {
        "two": pa.array(prices, pa.decimal128(20, 2)),
        "four": pa.array(prices, pa.decimal128(20, 4)),
        "wide": pa.array(prices, pa.decimal256(50, 2)),
        "double": pa.array([float(price) for price in prices]),
        "text.csv": [str(price) for price in prices],
    }
    found = []
    for name, price in holders.items():
        columns = {"price": price, "x": [*range(600)], "y": ["u", "v", "u"] * 200}
        if name.endswith(".csv"):
            (tmp_path / name).write_text(csv_text(columns))
        else:
            name += ".parquet"
            pq.write_table(pa.table(columns), tmp_path / name)
        rows = ingest(tmp_path / name, group_by="price").rows
        found.append([tuple(row[k] for k in ("_row_id", "_group_id", "split")) for row in rows])
    assert all(rows == found[0] for rows in found)


def test_a_key_of_a_row_leaves_its_identity_and_split_alone_when_a_column_comes(ingest, tmp_path):
    table = {"id": list(range(400)), "x": [i % 7 for i in range(400)], "y": [*"uvvv"] * 100}
    (tmp_path / "a.csv").write_text(csv_text(table))
    (tmp_path / "b.csv").write_text(csv_text({**table, "new": [i / 3 for i in range(400)]}))
    how = {"split": {"key": ("id",)}, "exclude": ("id",)}
    one, other = (ingest(tmp_path / f"{n}.csv", **how) for n in "ab")
    assert "id" not in one.rows[0] and len(set(one.column("_row_id"))) == 400
    assert one.column("_row_id") == other.column("_row_id")
    assert one.column("split") == other.column("split")


def test_rows_without_a_value_in_the_key_are_told_apart_by_all_features(ingest, tmp_path):
    table = {"id": [None] * 300 + [1] * 3, "x": list(range(303)), "y": [*"uvv"] * 101}
    (tmp_path / "a.csv").write_text(csv_text(table))
    found = ingest(tmp_path / "a.csv", split={"key": ("id",)})
    assert len(set(found.column("_row_id"))) == 301


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (("nope",), "split.key: no column 'nope'"),
        (("y",), "split.key: 'y' is used already as data.label"),
        (("x", "x"), "split.key: names a column twice"),
    ],
)
def test_a_wrong_key_is_told(ingest, tmp_path, key, said):
    (tmp_path / "a.csv").write_text(csv_text({"x": list(range(30)), "y": [*"uvv"] * 10}))
    with pytest.raises(UserError, match=said):
        ingest(tmp_path / "a.csv", split={"key": key})
