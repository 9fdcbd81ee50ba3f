"""A column of each type of Parquet and TFRecord becomes a feature, or one line says why not."""

import datetime
import decimal
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.preflight import inspect

N = 120
LABELS = ["no", "yes"] * (N // 2)
INTS = list(range(N))


def parquet(path, **columns):
    pq.write_table(pa.table({"a": pa.array(INTS), "y": LABELS, **columns}), path)
    return str(path)


DAY = datetime.date(2020, 1, 1)
ODD = [i if i % 2 else None for i in INTS]
READ = {
    "uint64": (pa.array(INTS, pa.uint64()), INTS),
    "lists of one": (pa.array([[i] for i in INTS]), INTS),
    "lists of one or none": (pa.array([[i] if i % 2 else [] for i in INTS]), ODD),
    "lists and nulls": (pa.array([[i] if i % 2 else None for i in INTS]), ODD),
    "large lists": (pa.array([[i] for i in INTS], pa.large_list(pa.int64())), INTS),
    "dictionary": (pa.array(["u"] * N).dictionary_encode(), [b"u"] * N),
    "dictionary of integers": (pa.array([5] * N).dictionary_encode(), [5] * N),
    "decimal128": (pa.array([decimal.Decimal("1.25")] * N, pa.decimal128(9, 2)), [1.25] * N),
    "decimal256": (pa.array([decimal.Decimal("1.25")] * N, pa.decimal256(50, 2)), [1.25] * N),
    "binary": (pa.array([b"\xff\x00"] * N), [b"\xff\x00"] * N),
    "large string": (pa.array(["u"] * N, pa.large_string()), [b"u"] * N),
    "int8": (pa.array([-3] * N, pa.int8()), [-3] * N),
    "date32": (pa.array([DAY] * N), [1577836800] * N),
    "timestamp": (pa.array([1577836800] * N, pa.timestamp("s")), [1577836800] * N),
    "bool": (pa.array([True] * N), [1] * N),
    "null": (pa.nulls(N), [None] * N),
}


@pytest.mark.parametrize("name", READ)
def test_types_that_become_features(ingest, tmp_path, name):
    column, expected = READ[name]
    path = parquet(tmp_path / "a.parquet", x=column)
    assert "x" in inspect(path, IngestParams(label="y")).columns
    assert ingest(path).column("x") == expected


REFUSED = {
    "lists": (pa.array([[i] * (i % 4) for i in INTS]), r"row 3, column 'x': a list of 2 values"),
    "a late list": (
        pa.array([[i] if i < N - 1 else [1, 2] for i in INTS]),
        rf"row {N}, column 'x'",
    ),
    "struct": (pa.array([{"k": 1}] * N), r"column 'x' has type struct"),
    "map": (pa.array([[("k", 1)]] * N, pa.map_(pa.string(), pa.int64())), r"'x' has type map"),
    "lists of lists": (pa.array([[[1]]] * N), r"column 'x' has type list<"),
    "duration": (pa.array(INTS, pa.duration("s")), r"column 'x' has type duration"),
    "time32": (pa.array(INTS, pa.time32("s")), r"column 'x' has type time32"),
    "time64": (pa.array(INTS, pa.time64("us")), r"column 'x' has type time64"),
    "fixed-size list": (
        pa.FixedSizeListArray.from_arrays(pa.array(range(2 * N)), 2),
        r"column 'x' has type fixed_size_list",
    ),
    "fixed-size binary": (pa.array([b"ab"] * N, pa.binary(2)), r"column 'x' has type fixed_size_b"),
    "beyond int64": (
        pa.array([2**63 + i for i in INTS], pa.uint64()),
        r"column 'x': an integer beyond int64 .*exclude the column",
    ),
    "late beyond int64": (
        pa.array([*INTS[:-1], 2**63], pa.uint64()),
        r"column 'x': an integer beyond int64 .*exclude the column",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_types_and_values_that_are_refused_before_anything_runs(
    ingest, tmp_path, name, monkeypatch
):
    column, message = REFUSED[name]
    path = parquet(tmp_path / "a.parquet", x=column)
    for use in (lambda: inspect(path, IngestParams(label="y"), rows=10), lambda: ingest(path)):
        with pytest.raises(UserError, match=message) as caught:
            use()
        assert "a.parquet" in str(caught.value) and "exclude" in str(caught.value)
        assert "\n" not in str(caught.value)
    inspect(path, IngestParams(label="y", exclude=("x",)))
    assert len(ingest(path, exclude=("x",)).rows) == N


def test_all_columns_of_such_types_are_named_at_once(tmp_path):
    columns = {f"x{i}": pa.array([{"k": 1}] * N) for i in range(7)}
    path = parquet(tmp_path / "a.parquet", **columns)
    with pytest.raises(UserError, match=r"'x0' has type .*'x4' has type .* and 2 more columns"):
        inspect(path, IngestParams(label="y"))


KEYS = {
    "uint64": pa.array([2**63 + i // 2 for i in INTS], pa.uint64()),
    "uuid": pa.array([(i // 2).to_bytes(16, "big") for i in INTS], pa.binary(16)),
    "dictionary": pa.array([2**63 + i // 2 for i in INTS], pa.uint64()).dictionary_encode(),
    "not UTF-8": pa.array([b"\xff%d" % (i // 2) for i in INTS]),
}


@pytest.mark.parametrize("options", [{"group_by": "k"}, {"split": {"key": ("k",)}}])
@pytest.mark.parametrize("name", KEYS)
def test_an_excluded_key_needs_its_identity_alone(ingest, tmp_path, name, options):
    path = parquet(tmp_path / "a.parquet", k=KEYS[name])
    inspect(path, IngestParams(label="y", exclude=("k",), **options))
    found = ingest(path, exclude=("k",), **options)
    by = "_group_id" if "group_by" in options else "_row_id"
    assert [found.column(by).index(k) for k in found.column(by)] == [i - i % 2 for i in INTS]
    splits = found.column("split")
    assert splits[::2] == splits[1::2] and set(splits) == {"train", "val", "test"}


def test_keys_beyond_2_to_the_53_are_exact_beside_a_file_of_floats(ingest, tmp_path):
    parquet(tmp_path / "a.parquet", k=pa.array([2**53 + i for i in INTS]))
    parquet(tmp_path / "b.parquet", k=pa.array([None, *map(float, INTS[1:])]))
    found = ingest(tmp_path, exclude=("k",), group_by="k")
    assert len(set(found.column("_group_id")[:N])) == N


def test_integers_beyond_2_to_the_53_beside_a_file_of_floats_are_told_as_such(ingest, tmp_path):
    parquet(tmp_path / "a.parquet", x=pa.array([2**53 + i for i in INTS]))
    parquet(tmp_path / "b.parquet", x=pa.array([None, *map(float, INTS[1:])]))
    message = r"a\.parquet.*column 'x' is int64, in another file floating point.*beyond 2\*\*53 \("
    with pytest.raises(UserError, match=message) as caught:
        ingest(tmp_path)
    assert "beyond int64" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"group_by": "k"}, pa.array(INTS, pa.time32("s"))),
        ({"order_by": "k"}, pa.array([2**63 + i for i in INTS], pa.uint64())),
    ],
)
def test_what_is_out_already_is_not_told_to_be(ingest, tmp_path, options, column):
    with pytest.raises(UserError, match="column 'k'") as caught:
        ingest(parquet(tmp_path / "a.parquet", k=column), exclude=("k",), **options)
    assert not re.search("exclude|text or float", str(caught.value))


def test_labels_beyond_int64_are_class_names(ingest, tmp_path):
    labels = pa.array([2**63, 2**64 - 1, 3] * (N // 3), pa.uint64())
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": pa.array(INTS), "y": labels}), path)
    names = {str(2**63): N // 3, str(2**64 - 1): N // 3, "3": N // 3}
    assert inspect(path, IngestParams(label="y")).class_counts == names
    assert set(ingest(path).summary.classes) == set(names)


def test_tfrecords_with_several_values_a_row_are_refused(ingest, write):
    values = [None if i % 4 == 0 else (i,) * (i % 4) for i in INTS]
    path = write("a.tfrecord", {"a": INTS, "x": values, "y": LABELS})
    for use in (lambda: inspect(str(path), IngestParams(label="y")), lambda: ingest(path)):
        with pytest.raises(UserError, match=r"row 3, column 'x': a list of 2 values.*exclude"):
            use()
    assert len(ingest(path, exclude=("x",)).rows) == N


def test_tfrecords_with_at_most_one_value_a_row_are_scalars(ingest, write):
    values = [None if i % 4 == 0 else (i,) for i in INTS]
    path = write("a.tfrecord", {"a": INTS, "x": values, "y": LABELS})
    assert ingest(path).column("x") == [None if i % 4 == 0 else i for i in INTS]
