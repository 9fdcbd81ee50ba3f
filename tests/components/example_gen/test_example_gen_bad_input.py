"""Each bad input gets one clear line that names the place."""

import gzip
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_imbalance.components import examples_io
from tfx_imbalance.components.errors import DataCheckError, UserError
from tfx_imbalance.components.example_gen import sources
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.preflight import inspect

ROWS = [f"{i},{i % 7},{'yes' if i % 4 == 0 else 'no'}" for i in range(200)]
GOOD = "\n".join(["a,b,y", *ROWS]) + "\n"


def with_line(number, line):
    """The good CSV with one line replaced; line 1 is the header."""
    lines = GOOD.splitlines()
    lines[number - 1] = line
    return "\n".join(lines) + "\n"


def column(name, values):
    """The good CSV with a further column."""
    lines = GOOD.splitlines()
    extra = [name, *(values[i % len(values)] for i in range(len(ROWS)))]
    return "\n".join(f"{line},{value}" for line, value in zip(lines, extra, strict=True))


BAD_CSV = {
    "empty file": ("", {}, r"a\.csv: the file is empty"),
    "blank lines only": ("\n\n", {}, r"a\.csv: the file is empty"),
    "header only": ("a,b,y\n", {}, r"a\.csv: no rows"),
    "header without a line end": ("a,b,y", {}, r"a\.csv: no rows"),
    "too few fields": (with_line(12, "1,2"), {}, r"a\.csv, line 12: 2 fields, .* header has 3"),
    "too many fields": (with_line(201, "1,2,no,9"), {}, r"line 201: 4 fields, .* has 3"),
    "unclosed quote": (with_line(20, '"1,2,no'), {}, r"a\.csv, line 20: bad quoting"),
    "unclosed quote at the end": (with_line(20, '1,2,"no'), {}, r"line 20: bad quoting"),
    "Latin-1": (with_line(5, "1,Zürich,no").encode("latin-1"), {}, r"a\.csv, line 5: not UTF-8"),
    "Latin-1 header": (with_line(1, "ä,b,y").encode("latin-1"), {}, r"a\.csv.*: not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), {}, r"a\.csv.*: not UTF-8"),
    "duplicate columns": (with_line(1, "a,a,y"), {}, r"a\.csv: duplicate column 'a'"),
    "nameless column": (with_line(1, ",b,y"), {}, r"a\.csv: column 1 has no name"),
    "reserved column": (with_line(1, "_row_id,b,y"), {}, r"column name '_row_id' is reserved"),
    "reserved copy": (with_line(1, "_row_copy,b,y"), {}, r"column name '_row_copy' is reserved"),
    "reserved weight": (
        with_line(1, "a,_sampling_weight,y"),
        {},
        r"a\.csv: the column name '_sampling_weight' is reserved for how many rows a row stands "
        "for; rename the column or list it under data.exclude",
    ),
    "reserved ending": (
        with_line(1, "a,_synthetic_anything,y"),
        {},
        r"column name '_synthetic_anything' is reserved",
    ),
    "unknown label": (GOOD, {"label": "Y "}, r"data\.label: no column 'Y ' in .*mean 'y'\?"),
    "other delimiter": (
        GOOD.replace(",", ";"),
        {},
        r"data\.label: no column 'y'.*delimited by ';': set data\.delimiter",
    ),
    "unknown exclude": (GOOD, {"exclude": ("bb",)}, r"data\.exclude: no column 'bb' .*mean 'b'"),
    "unknown weight": (GOOD, {"weight": "w"}, r"data\.weight: no column 'w' in .*found 'a', 'b'"),
    "unknown group": (GOOD, {"group_by": "g"}, r"data\.group_by: no column 'g'"),
    "unknown order": (GOOD, {"order_by": "t"}, r"data\.order_by: no column 't'"),
    "label as weight": (GOOD, {"weight": "y"}, r"data\.weight: 'y' is the label"),
    "label as group": (GOOD, {"group_by": "y"}, r"data\.group_by: 'y' is used already as data\.l"),
    "label excluded": (GOOD, {"exclude": ("y",)}, r"data\.exclude: 'y' is needed as data\.label"),
    "stable and temporal": (
        GOOD,
        {"order_by": "a", "split": {"mode": "stable"}},
        r"split\.mode: stable .* data\.order_by",
    ),
    "nothing but a label": (GOOD, {"exclude": ("a", "b")}, r"no feature columns are left"),
    "one class only": (GOOD.replace("yes", "no"), {}, r"label column 'y' .*only one class, 'no'"),
    "no label at all": (
        GOOD.replace("yes", "").replace("no", ""),
        {"unlabelled": "drop"},
        r"'y' .*no labelled row",
    ),
    "a minority of 1": (
        with_line(9, "1,2,maybe"),
        {},
        r"label column 'y': class 'maybe' has 1 row; train, val and test need one each",
    ),
    "a minority of equal rows": (
        GOOD + "8,8,maybe\n" * 5,
        {"split": {"duplicates": "together"}},
        r"class 'maybe' has 5 rows, but only 1 different rows",
    ),
    "infinite value": (with_line(8, "1,-inf,no"), {}, r"a\.csv, row 7, column 'b': an infinite"),
    "beyond float32": (with_line(8, "1,1e39,no"), {}, r"a\.csv, row 7, column 'b': .*float32"),
    "negative weight": (column("w", ["1", "-2"]), {"weight": "w"}, r"row 2 has -2"),
    "missing weight": (
        column("w", ["1", "2", ""]),
        {"weight": "w"},
        r"data\.weight.*row 3 has none",
    ),
    "NaN weight": (column("w", ["1.5", "NaN"]), {"weight": "w"}, r"data\.weight.*row 2 has none"),
    "text weight": (column("w", ["1", "heavy"]), {"weight": "w"}, r"data\.weight.* holds text"),
    "regression": (
        column("t", ["1", "2.5"]),
        {"label": "t"},
        r"label column 't' \(.*a\.csv, row 2\) holds the number 2\.5.*regression is not supported",
    ),
    "too many classes": (
        "\n".join(["x,y", *(f"{i},id{i}" for i in range(1_500))]),
        {},
        r"label column 'y' has more than 1,000 .*regression is not supported",
    ),
    "missing time": (column("t", ["1", ""]), {"order_by": "t"}, r"data\.order_by.*missing.*row 2"),
    "text as time": (
        column("t", ["31/12/2020", "1/1/2021"]),
        {"order_by": "t"},
        r"data\.order_by: .*must hold numbers or ISO 8601.* holds '31/12/2020'",
    ),
    "one time": (column("t", ["5"]), {"order_by": "t"}, r"data\.order_by.* fewer than 3 distinct"),
    "too few rows for a stable split": (
        "x,y\n1,a\n2,b\n",
        {"split": {"mode": "stable"}},
        r"split\.\w+: no row falls in this split; 2 rows are too few",
    ),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv(ingest, tmp_path, name):
    content, options, message = BAD_CSV[name]
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as caught:
        ingest(path, **options)
    assert "\n" not in str(caught.value)


def test_the_good_csv_is_good(ingest, tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    assert len(ingest(tmp_path / "a.csv").rows) == 200


@pytest.mark.parametrize("gone", [1, 9, 100, 600])
@pytest.mark.parametrize("name", ["a.csv.gz", "a.tfrecord.gz"])
def test_a_truncated_gzip_is_refused_wherever_it_ends(ingest, write, make_table, name, gone):
    path = write(name, make_table(300))
    path.write_bytes(path.read_bytes()[:-gone])
    with pytest.raises(UserError, match=rf"{name}.* cut short or corrupt"):
        ingest(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[:-3], "cut short or corrupt .*ends within a record"),
        (lambda b: b[:500] + b"\x00\x01" + b[502:], "corrupt"),
        (lambda b: b"\x05" + bytes(7) + b"xxxxyyyyyzzzz", "corrupt"),
        (gzip.compress, r"a gzipped file's name must end in \.gz"),
        (lambda b: b"", r"a\.tfrecord: no rows"),
    ],
)
def test_bad_tfrecord(ingest, write, make_table, damage, message):
    path = write("a.tfrecord", make_table(300))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        ingest(path)


def test_records_that_are_no_examples_are_refused(ingest, tmp_path):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"not a tf.Example")
    with pytest.raises(UserError, match=r"a\.tfrecord, rows 1 to 1: .*tf\.Examples"):
        ingest(tmp_path / "a.tfrecord")


def test_a_feature_of_two_types_is_refused(ingest, write):
    labels = ["a", "b"] * 30
    path = write("a.tfrecord", {"x": [1, 2.5] * 30, "y": labels})
    with pytest.raises(UserError, match="one type a feature"):
        ingest(path)
    for name, values in (("d/a.tfrecord", [1] * 60), ("d/b.tfrecord", [2.5] * 60)):
        write(name, {"x": values, "y": labels})
    with pytest.raises(UserError, match=r"column 'x' holds int values in .*a\.tfrecord and float"):
        ingest(path.parent / "d")


def test_an_unknown_column_of_tfrecords_is_named(ingest, write, make_table):
    path = write("a.tfrecord", make_table(100))
    with pytest.raises(UserError, match=r"data\.label: no column 'yy' in .*did you mean 'y'\?"):
        ingest(path, label="yy")
    with pytest.raises(UserError, match=r"data\.weight: no column 'agee' in .*did you mean 'age'"):
        ingest(path, weight="agee")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": [["a"], ["b"]] * 50}, r"label column 'y' .*lists.*multi-label is not supported"),
        ({"y": [{"k": "a"}, {"k": "b"}] * 50}, r"column 'y' has type struct.*not supported"),
        ({"x": [{"k": 1}] * 100}, r"column 'x' has type struct.*exclude it"),
        ({"x": pa.array([2**63 + i for i in range(100)], pa.uint64())}, r"column 'x': an integer"),
        ({"x": [[1.0, math.nan]] * 100}, r"row 1, column 'x': a NaN in a list"),
        ({"x": [[0.5, math.inf]] * 100}, r"row 1, column 'x': an infinite value"),
        (
            {"y": pa.array([0, 1] * 50, pa.int32()).cast(pa.date32())},
            r"label column 'y' .*dates or times",
        ),
    ],
)
def test_bad_parquet_columns(ingest, tmp_path, columns, message):
    table = {"x": list(range(100)), "y": ["a", "b"] * 50} | columns
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=message):
        ingest(tmp_path / "a.parquet")


MIXED = r"data\.order_by: column 't' has times with an offset .*{}, row {}\) and times without .*{}"


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2020-01-01", ""], r"column 't' has a missing value \(.*, row 2\)"),
        (["", "2020-01-01"], r"has a missing value \(.*, row 1\)"),
        ([b"2020-01-01", b"\xff\xfe"], r"a\.parquet, row 2 holds b'\\xff\\xfe', .* not UTF-8"),
        (["2020-01-01", "soon"], r"must hold numbers or ISO 8601 .* row 2 holds 'soon'"),
        (
            ["2020-01-01", "2020-01-02", "2020-01-03T00:00:00Z"],
            MIXED.format("parquet", 3, r"parquet, row 1\)"),
        ),
        (["2020-01-01T00:00:00+01:00", "2020-01-02"], MIXED.format("parquet", 1, r"row 2\)")),
    ],
)
def test_bad_times_in_parquet_texts(ingest, tmp_path, times, message):
    times = (times * 60)[:60]
    pq.write_table(
        pa.table({"t": times, "x": range(60), "y": ["a", "b"] * 30}), tmp_path / "a.parquet"
    )
    with pytest.raises(UserError, match=message):
        ingest(tmp_path / "a.parquet", order_by="t")


def test_blank_times_in_one_block_of_a_large_file_are_named(ingest, tmp_path):
    times = pa.array([f"2020-01-01T00:00:{i % 60:02d}" for i in range(69_999)] + [" "])
    table = pa.table({"t": times, "x": range(70_000), "y": ["a", "b"] * 35_000})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"has a missing value \(.*, row 70000\)"):
        ingest(tmp_path / "a.parquet", order_by="t")


@pytest.mark.parametrize("name", ["{}.csv", "{}.parquet", "{}.tfrecord"])
@pytest.mark.parametrize("there", ["in a block", "in two blocks", "in two files"])
def test_times_with_and_without_an_offset_have_no_order(
    ingest, write, tmp_path, monkeypatch, name, there
):
    naive = [f"2020-01-01T00:00:{i:02d}" for i in range(30)]
    zoned = [f"2020-01-02T00:00:{i:02d}Z" for i in range(30)]
    table = {"x": list(range(30)), "y": ["a", "b"] * 15}
    if there == "in two files":
        write("d/" + name.format("a"), {"t": naive, **table})
        write("d/" + name.format("b"), {"t": zoned, **table})
        message = MIXED.format(r"b\.\w+", 1, r"a\.\w+, row 1\)")
    else:
        if there == "in two blocks":
            monkeypatch.setattr(sources, "_block_rows", lambda columns: 30)
            monkeypatch.setattr(examples_io.read_blocks, "__defaults__", (30, None))
        write("d/" + name.format("a"), {n: v + v for n, v in table.items()} | {"t": naive + zoned})
        message = MIXED.format(r"a\.\w+", 31, r"a\.\w+, row 1\)")
    with pytest.raises(UserError, match=message):
        ingest(tmp_path / "d", order_by="t", exclude=("t",))


def test_timestamps_of_two_files_with_and_without_a_zone_have_no_order(ingest, write, tmp_path):
    times = pa.array(range(60), pa.timestamp("s"))
    table = {"t": times, "x": range(60), "y": ["a", "b"] * 30}
    write("d/a.parquet", table)
    assert len(ingest(tmp_path / "d", order_by="t").rows) == 60
    write("d/b.parquet", {**table, "t": times.cast(pa.timestamp("s", "UTC"))})
    with pytest.raises(UserError, match=MIXED.format(r"b\.parquet", 1, r"a\.parquet, row 1\)")):
        ingest(tmp_path / "d", order_by="t")
    for path in (tmp_path / "d").iterdir():
        assert len(ingest(path, order_by="t").rows) == 60


def test_a_multi_label_of_tfrecords_is_refused(ingest, write):
    path = write("a.tfrecord", {"x": list(range(60)), "y": ["a", ("a", "b")] * 30})
    with pytest.raises(UserError, match=r"row 2\) holds lists of values: multi-label"):
        ingest(path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-50], lambda b: b"PAR1" + b"x" * 99, lambda b: b""]
)
def test_bad_parquet_files(ingest, write, make_table, damage):
    path = write("a.parquet", make_table(100))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"a\.parquet: not a Parquet file, or cut short"):
        ingest(path)


def test_missing_files_are_named_with_what_is_there(ingest, write, make_table, tmp_path):
    write("d/bank.csv", make_table(50))
    (tmp_path / "empty").mkdir()
    for path, message in {
        "d/bnak.csv": r"data\.path: no file .*bnak\.csv; did you mean 'bank\.csv'\?",
        "nowhere/x.csv": r"there is no folder .*nowhere",
        "d/*.parquet": r"data\.path: no file matches .*\*\.parquet",
        "empty": r"folder .*empty has no data files",
        "empty/x.csv": r"the folder is empty",
    }.items():
        with pytest.raises(UserError, match=message):
            ingest(tmp_path / path)


def test_files_of_several_formats_or_columns_are_refused(ingest, write, make_table, tmp_path):
    table = make_table(60)
    write("formats/a.csv", table)
    write("formats/b.parquet", table)
    with pytest.raises(UserError, match=r"several formats: csv \(a\.csv\), parquet \(b\.parquet\)"):
        ingest(tmp_path / "formats")
    write("columns/a.csv", table)
    write("columns/b.csv", {name: table[name] for name in table if name != "age"})
    with pytest.raises(UserError, match=r"b\.csv: no column 'age', which .*a\.csv has"):
        ingest(tmp_path / "columns")
    assert len(ingest(tmp_path / "columns", exclude=("age",)).rows) == 120


def test_unlabelled_rows_are_counted_and_the_first_is_named(ingest, write, make_table, tmp_path):
    table = make_table(100)
    write("d/a.csv", table)
    table["y"][41] = table["y"][77] = None
    write("d/b.csv", table)
    message = r"label column 'y': 2 of 200 rows have no label, the first is row 42 of .*b\.csv"
    with pytest.raises(DataCheckError, match=message):
        ingest(tmp_path / "d")


def test_groups_too_few_for_three_splits_are_named(ingest, write):
    rng = np.random.default_rng(0)
    table = {"g": [i % 2 for i in range(80)], "x": rng.random(80).tolist(), "y": ["a", "b"] * 40}
    with pytest.raises(UserError, match=r"class 'a' has 40 rows, but only 1 groups"):
        ingest(write("a.csv", table), group_by="g")


@pytest.mark.parametrize("name", ["_sampling_weight", "_row_copy", "_synthetic_base", "examples"])
def test_a_reserved_column_is_refused_at_preflight_and_fine_where_excluded(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(with_line(1, f"a,{name},y"))
    with pytest.raises(UserError, match=rf"a\.csv: the column name '{name}' is reserved for"):
        inspect(str(path), IngestParams(label="y"))
    found = inspect(str(path), IngestParams(label="y", exclude=(name,)))
    assert set(found.columns) == {"a", "y"}
