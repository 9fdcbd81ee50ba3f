"""What rows become, and that neither files, formats nor order change it."""

import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.example_gen import kinds, sources
from tfx_imbalance.components.example_gen.kinds import Kind
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.hashing import row_ids

YN = ["no", "yes"]


def labelled(**columns):
    """A table with a label that any split can hold."""
    rows = len(next(iter(columns.values())))
    return {**columns, "y": [YN[i % 2] for i in range(rows)]}


def test_content_and_splits_do_not_depend_on_format_sharding_order_or_column_order(
    ingest, write, make_table, shuffled, part
):
    table = make_table(600)
    write("one.csv", table)
    write("packed.csv.gz", shuffled(table, 1))
    write("columns.csv", dict(reversed(table.items())))
    write("one.parquet", shuffled(table, 2))
    write("one.tfrecord", shuffled(table, 3))
    write("packed.tfrecord.gz", table)
    for i in range(3):
        write(f"shards/{i}.csv", part(shuffled(table, 4), i, 3))
        write(f"mixed/part-{i}.parquet", part(table, i, 3))
    first = ingest(write("one.csv", table).parent / "one.csv")
    assert len(first.rows) == 600
    others = ["packed.csv.gz", "columns.csv", "one.parquet", "one.tfrecord", "packed.tfrecord.gz"]
    for name in [*others, "shards", "mixed", "shards/*.csv"]:
        other = ingest(write("one.csv", table).parent / name)
        assert other.content() == first.content(), name
        assert other.summary.counts == first.summary.counts, name
        assert other.summary.deviation == first.summary.deviation, name


def test_equal_rows_stay_in_one_split_whatever_their_label(ingest, write, make_table):
    table = make_table(600)
    table["y"] = [YN[i % 2] for i in range(600)]  # equal rows now differ in their label
    found = ingest(write("a.csv", table))
    labels = {}
    for row in found.rows:
        labels.setdefault(row["_row_id"], set()).add(row["y"])
    assert any(len(names) == 2 for names in labels.values())
    assert all(len(splits) == 1 for splits in found.splits().values())


def test_class_shares_are_exact_and_the_deviation_is_what_rounding_leaves(ingest, write):
    table = {"x": list(range(1_000)), "y": ["yes" if i < 37 else "no" for i in range(1_000)]}
    found = ingest(write("a.csv", table))
    assert found.summary.counts == {
        "train": {"no": 674, "yes": 26},
        "val": {"no": 145, "yes": 6},
        "test": {"no": 144, "yes": 5},
    }
    assert found.summary.deviation["val"] == {"no": 0.55, "yes": 0.45}
    assert found.summary.classes == ["no", "yes"]


@pytest.mark.parametrize("excluded", [True, False])
def test_groups_stay_in_one_split_and_so_do_equal_rows_across_groups(ingest, write, excluded):
    rng = np.random.default_rng(0)
    table = {
        "patient": [f"p{i}" for i in rng.integers(0, 150, 900)],
        "x": rng.integers(0, 40_000, 900).tolist(),
        "y": rng.choice(YN, 900).tolist(),
    }
    assert len(set(table["x"])) < 895  # some rows of different patients are equal
    path = write("a.csv", table)
    found = ingest(path, group_by="patient", exclude=("patient",) if excluded else ())
    groups = {}
    for patient, x, row in zip(table["patient"], table["x"], found.rows, strict=True):
        assert row["x"] == x
        assert ("patient" in row) != excluded
        groups.setdefault(patient, set()).add(row["split"])
    assert all(len(splits) == 1 for splits in groups.values())
    assert all(len(splits) == 1 for splits in found.splits().values())
    shares = [sum(found.summary.counts[s].values()) / 900 for s in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.06)


def test_where_equal_rows_link_most_groups_the_deviation_is_told_and_no_split_is_empty(
    ingest, write
):
    rng = np.random.default_rng(0)
    table = {
        "patient": [f"p{i}" for i in rng.integers(0, 150, 900)],
        "x": rng.integers(0, 2_000, 900).tolist(),
        "y": rng.choice(YN, 900).tolist(),
    }
    how = {"group_by": "patient", "exclude": ("patient",), "split": {"duplicates": "together"}}
    found = ingest(write("a.csv", table), **how)
    assert all(len(splits) == 1 for splits in found.splits().values())
    assert all(min(counts.values()) > 0 for counts in found.summary.counts.values())
    assert sum(found.summary.deviation["train"].values()) > 90


def test_rows_without_a_group_stand_alone(ingest, write):
    table = labelled(g=[None] * 400, x=list(range(400)))
    table["g"][:4] = [7] * 4
    found = ingest(write("a.csv", table), group_by="g", exclude=("g",))
    assert len({row["split"] for row in found.rows[:4]}) == 1
    assert found.summary.counts["train"] == {"no": 140, "yes": 140}


@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("options", [{"group_by": "g"}, {"split": {"key": ("g",)}}])
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.tfrecord"])
def test_a_blank_text_is_no_group_and_no_key(ingest, write, name, options, blank):
    table = labelled(g=[blank] * 400, x=list(range(400)))
    table["g"][:4] = ["one"] * 4
    found = ingest(write(name, table), exclude=("g",), **options)
    assert len({row["split"] for row in found.rows[:4]}) == 1
    assert found.summary.counts["train"] == {"no": 140, "yes": 140}


@pytest.mark.parametrize(
    "times",
    [
        list(range(300, 0, -1)),
        [-i / 7 for i in range(1, 301)],
        [(dt.datetime(2020, 1, 1) - dt.timedelta(hours=i)).isoformat() for i in range(300)],
        [(dt.date(2020, 1, 1) - dt.timedelta(days=i)).isoformat() for i in range(300)],
    ],
    ids=["ints", "floats", "times", "dates"],
)
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.tfrecord"])
def test_order_by_sends_the_oldest_rows_to_train_and_the_newest_to_test(ingest, write, times, name):
    found = ingest(write(name, labelled(t=times, x=list(range(300)))), order_by="t")
    assert [row["split"] for row in found.rows] == ["test"] * 45 + ["val"] * 45 + ["train"] * 210


def test_order_by_keeps_ties_together_and_equal_rows_by_their_first_appearance(ingest, write):
    table = labelled(t=[i // 10 for i in range(200)], x=list(range(200)))
    table["x"][199] = table["x"][0]  # the newest row equals the oldest
    found = ingest(write("a.csv", table), order_by="t", exclude=("t",))
    by_time = {}
    for t, row in list(zip(table["t"], found.rows, strict=True))[:199]:
        by_time.setdefault(t, set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_time.values())
    assert found.rows[199]["split"] == found.rows[0]["split"] == "train"


def test_stable_splits_hold_when_rows_are_added(ingest, write, make_table):
    stable = {"split": {"mode": "stable"}, "seed": 5}
    table = make_table(900)
    some = {name: values[:500] for name, values in table.items()}
    before = ingest(write("some.csv", some), **stable)
    after = ingest(write("all.csv", table), **stable)
    assert before.splits().items() <= after.splits().items()
    deviation = before.summary.deviation["train"]
    counts = {c: sum(before.summary.counts[s][c] for s in before.summary.counts) for c in deviation}
    for name, total in counts.items():
        expected = before.summary.counts["train"][name] - 0.7 * total
        assert deviation[name] == pytest.approx(expected, abs=0.01)


def test_rows_that_were_not_there_in_the_first_pass_are_noticed(ingest, write, make_table):
    found = ingest(write("a.csv", make_table()))
    params = IngestParams(label="y")
    keys = np.array(found.column("_row_id"))
    assert found.plan.splits_of(keys, params).shape == (400,)
    for stranger in (keys.min() - 1, keys.max() + 1, keys[0] ^ 1):
        with pytest.raises(RuntimeError, match="the data changed while"):
            found.plan.splits_of(np.append(keys, stranger), params)


def test_the_seed_decides(ingest, write, make_table):
    path = write("a.csv", make_table())
    assert ingest(path, seed=1).content() == ingest(path, seed=1).content()
    assert ingest(path, seed=1).content() != ingest(path, seed=2).content()


def test_row_ids_are_of_the_features_alone(ingest, write):
    table = {
        "x": [i / 4 for i in range(60)],
        "s": [f"v{i}" for i in range(60)],
        "w": [1.0] * 60,
        "junk": list(range(60)),
        "y": YN * 30,
    }
    features = pa.RecordBatch.from_pydict(
        {"s": table["s"], "x": pa.array(table["x"], pa.float32())}
    )
    found = ingest(write("a.csv", table), weight="w", exclude=("junk",))
    assert found.column("_row_id") == row_ids(features).tolist()
    assert set(found.rows[0]) == {"x", "s", "w", "y", "_row_id", "_row_copy", "split"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "03"], [1, -2, 3]),
        (["1", "", "NA"], [1, None, None]),
        (["1", "2.5", "nan"], [1.0, 2.5, None]),
        ([" 1", "2 ", "3"], [1, 2, 3]),
        (["1", "?", "3"], [b"1", b"?", b"3"]),
        (["true", "FALSE", ""], [1, 0, None]),
        (["true", "1", "0"], [b"true", b"1", b"0"]),
        (["0x1F", "2", "3"], [b"0x1F", b"2", b"3"]),
        (["1e3", "2", "3"], [1000.0, 2.0, 3.0]),
        (["9223372036854775808", "1", "2"], [9.223372e18, 1.0, 2.0]),
        (["1970-01-02", "1969-12-31 23:59:59.5", ""], [86400, -1, None]),
        (["1970-01-01T02:00:00+02:00", "1970-01-01T00:00:01Z", ""], [0, 1, None]),
        (["1970-01-01", "1", "2"], [b"1970-01-01", b"1", b"2"]),
        (["", "", "null"], [None, None, None]),
    ],
)
def test_a_csv_columns_type_is_the_narrowest_that_fits_all_its_values(
    ingest, tmp_path, values, expected
):
    lines = ["id,v,y"] + [f"{i},{values[i % 3]},{YN[i % 2]}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    found = ingest(tmp_path / "a.csv").column("v")[:3]
    assert [type(v) for v in found] == [type(v) for v in expected]
    assert found == [pytest.approx(v) if isinstance(v, float) else v for v in expected]


def test_a_csv_columns_type_is_found_over_the_whole_file_and_all_files(
    ingest, tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 1 << 12)  # many blocks
    rows = [f"{i},{i % 50},{YN[i % 2]}" for i in range(3_000)]
    rows[-1] = "2999,1.5,no"
    (tmp_path / "a.csv").write_text("\n".join(["id,v,y", *rows]))
    (tmp_path / "b").mkdir()
    for k in range(2):
        (tmp_path / f"b/{k}.csv").write_text("\n".join(["id,v,y", *rows[k * 1500 :][:1500]]))
    found = ingest(tmp_path / "a.csv")
    assert found.summary.kinds["v"] is Kind.FLOAT
    assert found.summary.kinds["id"] is Kind.INT
    assert all(isinstance(v, float) for v in found.column("v"))
    assert ingest(tmp_path / "b").content() == found.content()


def test_what_looks_wrong_at_first_may_be_text_in_the_end(ingest, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 1 << 12)
    rows = [f"{i},{'inf' if i == 5 else i},{0.5 if i % 2 else 1.5}" for i in range(2_000)]
    rows += [f"{i},word,{'a' if i % 2 else 'b'}" for i in range(2_000, 2_100)]
    (tmp_path / "a.csv").write_text("\n".join(["id,v,y", *rows]))
    found = ingest(tmp_path / "a.csv")
    assert found.summary.classes == ["0.5", "1.5", "a", "b"]
    assert found.column("v")[5] == b"inf"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([3, 4, 3], ["3", "4"]),
        ([3.0, 4.0, 3.0], ["3", "4"]),
        ([True, False, True], ["false", "true"]),
        ([" a", "b", "b"], ["a", "b"]),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_label_becomes_the_classs_name(ingest, write, labels, classes, name):
    table = {"x": list(range(90)), "y": [labels[i % 3] for i in range(90)]}
    found = ingest(write(name, table))
    assert found.summary.classes == classes
    assert set(found.column("y")) == {name.encode() for name in classes}


def test_unlabelled_rows_are_dropped_when_asked(ingest, write):
    table = labelled(x=list(range(100)))
    table["y"][10] = table["y"][20] = None
    found = ingest(write("a.csv", table), unlabelled="drop")
    assert len(found.rows) == 98
    assert found.summary.unlabelled == 2
    assert found.summary.rows == 100


def test_the_weight_is_a_float_feature_and_zero_is_allowed(ingest, write):
    table = labelled(x=list(range(100)), w=[i % 3 for i in range(100)])
    found = ingest(write("a.csv", table), weight="w")
    assert found.column("w") == [float(i % 3) for i in range(100)]


def test_parquet_types_map_as_documented(ingest, tmp_path):
    n = 60
    columns = {
        "i8": pa.array(np.arange(n) % 7, pa.int8()),
        "u64": pa.array(np.arange(n), pa.uint64()),
        "f64": pa.array([math.nan if i == 3 else i / 2 for i in range(n)]),
        "flag": pa.array([i % 2 == 0 for i in range(n)]),
        "day": pa.array([dt.date(1970, 1, 2)] * n),
        "at": pa.array([dt.datetime(1970, 1, 1, 0, 0, 1, 5)] * n, pa.timestamp("ns")),
        "zoned": pa.array([dt.datetime(1970, 1, 1)] * n, pa.timestamp("ms", "Europe/Rome")),
        "price": pa.array([1] * n, pa.decimal128(5, 2)),
        "word": pa.array(["v"] * n).dictionary_encode(),
        "tags": pa.array([["a"] if i % 2 else [] for i in range(n)]),
        "none": pa.nulls(n),
        "y": pa.array(YN * (n // 2)),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    row = ingest(tmp_path / "a.parquet").rows[3]
    del row["_row_id"], row["_row_copy"], row["split"]
    assert row == {
        "i8": 3,
        "u64": 3,
        "f64": None,
        "flag": 0,
        "day": 86400,
        "at": 1,
        "zoned": 0,
        "price": 1.0,
        "word": b"v",
        "tags": b"a",
        "y": b"yes",
    }


def test_fields_with_delimiters_quotes_and_line_breaks_come_through(ingest, tmp_path):
    text = "a;b;y\n" + "".join(f'{i};"x ""{i}""; \n z";{YN[i % 2]}\n' for i in range(40))
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = ingest(tmp_path / "a.csv", delimiter=";")
    assert found.column("b")[7] == b'x "7"; \n z'
    assert found.column("a") == list(range(40))


def test_a_folder_is_read_without_hidden_and_foreign_files(ingest, write, make_table, tmp_path):
    table = make_table(100)
    write("d/a.csv", table)
    for name in (".hidden.csv", "_SUCCESS", "README.txt"):
        (tmp_path / "d" / name).write_text("not data")
    assert ingest(tmp_path / "d").content() == ingest(tmp_path / "d/a.csv").content()


def test_the_format_is_known_by_content_where_the_name_does_not_tell(ingest, write, make_table):
    table = make_table(100)
    first = ingest(write("a.csv", table)).content()
    for name in ("b.parquet", "c.tfrecord", "d.csv.gz"):
        path = write(name, table)
        assert ingest(path.rename(path.with_name(name[0]))).content() == first


def test_a_remote_path_goes_through_tensorflows_file_systems(ingest, write, make_table):
    import tensorflow as tf

    table = make_table(100)
    for name in ("a.csv", "a.csv.gz", "a.parquet", "a.tfrecord.gz"):
        local = write(name, table)
        tf.io.gfile.copy(str(local), f"ram://bucket/{name}", overwrite=True)
        assert ingest(f"ram://bucket/{name}").content() == ingest(local).content()


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(
        st.one_of(
            st.none(),
            st.integers(-(2**40), 2**40).map(str),
            st.floats(allow_nan=False, allow_infinity=False).map(repr),
            st.sampled_from(["true", "False", "x", "2020-01-01", "1 ", " 2.5", "0x1F", "1e400"]),
        ),
        max_size=12,
    ),
    at=st.integers(0, 12),
)
def test_the_kind_of_a_whole_is_the_join_of_its_parts(values, at):
    def kind(part):
        return kinds.kind_of_text(pa.array(part, pa.string()))

    whole = kind(values)
    assert kinds.join(kind(values[:at]), kind(values[at:])) is whole
    assert kinds.kind_of_text(pa.array(values[at:], pa.string()), kind(values[:at])) is whole
    kinds.typed(pa.array(values, pa.string()), whole)  # every value has that kind
