"""What a first look tells, and that it does not go further."""

import subprocess
import sys

import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen.files import newest_files
from tfx_imbalance.components.example_gen.kinds import Kind
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.example_gen.preflight import Column, guess_delimiter, inspect

Y = IngestParams(label="y")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.tfrecord"])
def test_columns_and_classes_are_described(write, make_table, name):
    table = make_table(300) | {"w": [i / 4 for i in range(300)]}
    path = write(name, table)
    info = inspect(str(path), IngestParams(label="y", weight="w", exclude=("age",)))
    assert info.files == (str(path),)
    assert info.format == name.split(".")[1]
    assert info.rows == info.sampled == 300
    assert set(info.columns) == {"amount", "city", "gap", "w", "y"}
    assert info.columns["gap"] == Column(
        role="feature",
        kind=Kind.INT,
        feature="int",
        distinct=len(set(table["gap"]) - {None}),
        missing=pytest.approx(table["gap"].count(None) / 300),
        values=info.columns["gap"].values,
    )
    assert (info.columns["y"].role, info.columns["y"].feature) == ("label", "bytes")
    assert info.columns["w"].role == "weight"
    assert info.columns["city"].values[0] == max(set(table["city"]), key=table["city"].count)
    assert info.class_counts == {c: table["y"].count(c) for c in ("no", "yes", "perhaps")}
    assert info.n_classes == 3


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.tfrecord"])
def test_classes_are_counted_over_all_rows_and_columns_over_the_first(write, name):
    table = {"x": list(range(1_000)), "y": ["a"] * 900 + ["b"] * 98 + [None, "c"]}
    info = inspect(str(write(name, table)), Y, rows=100)
    assert (info.rows, info.sampled) == (1_000, 100)
    assert info.columns["x"].distinct == 100
    assert info.class_counts == {"a": 900, "b": 98, "c": 1}
    assert info.unlabelled == 1


def test_a_label_has_the_names_that_the_ingest_gives_it(write, ingest):
    labels = [1, 2.0, 3, None]
    path = write("a.csv", {"x": list(range(80)), "y": labels * 20})
    info = inspect(str(path), Y, rows=5)
    found = ingest(path, unlabelled="drop").summary
    assert sorted(info.class_counts) == found.classes == ["1", "2", "3"]
    assert info.unlabelled == found.unlabelled


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the file is empty"),
        ("a,b\n1,2\n", {}, r"data\.label: no column 'y'"),
        ("a,y\n", {}, "no rows"),
        ("a,a,y\n1,2,3\n", {}, "duplicate column 'a'"),
        ("a,y\n1,2\n1,2,3\n", {}, "line 3: 3 fields"),
        ("a,y\ninf,2\n1,3\n", {}, r"row 1, column 'a': an infinite value \(inf\)"),
        ("a,y\n1,2\n12e4567,3\n", {}, r"row 2, column 'a': an infinite value \(12e4567\)"),
        ("a,y\n1,2.5\n1,3\n", {}, "regression is not supported"),
        ("a,y\n1,2\n-1,3\n", {"weight": "a"}, r"no feature columns|row 2 has -1"),
        ("a,w,y\n1,2,n\n1,-3,n\n", {"weight": "w"}, "row 2 has -3"),
        ("a,y\n" + "".join(f"1,{i}\n" for i in range(12_000)), {}, "more than 1,000"),
    ],
)
def test_what_shows_at_once_is_refused_at_once(tmp_path, text, options, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        inspect(str(tmp_path / "a.csv"), IngestParams(label="y", **options))


def test_headers_of_all_files_are_looked_at(write, make_table, tmp_path):
    table = make_table(50)
    write("d/a.csv", table)
    write("d/b.csv", {"other": table["age"]})
    with pytest.raises(UserError, match=r"no column 'y' in .*b\.csv"):
        inspect(str(tmp_path / "d"), Y, rows=10)


def test_the_newest_span_is_looked_at(write, make_table, tmp_path):
    for span in (9, 10):
        for shard in "ab":
            write(f"span-{span}/{shard}.csv", make_table(40, seed=span))
    pattern = f"{tmp_path}/span-{{SPAN}}/*.csv"
    expected = [f"{tmp_path}/span-10/{shard}.csv" for shard in "ab"]
    assert newest_files(pattern) == newest_files(f"{tmp_path}/span-{{SPAN}}") == expected
    assert inspect(pattern, Y).rows == 80
    for day in ("01-02-2024", "28-01-2024"):
        write(f"{day}.csv", make_table(40))
    assert newest_files(f"{tmp_path}/{{DD}}-{{MM}}-{{YYYY}}.csv") == [f"{tmp_path}/01-02-2024.csv"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed_from_the_header(tmp_path, delimiter):
    (tmp_path / "a.csv").write_text(delimiter.join(["one", "two", "y"]) + "\n")
    assert guess_delimiter(str(tmp_path / "a.csv")) == delimiter


def test_a_look_at_a_csv_needs_no_tensorflow(write, make_table):
    path = write("a.csv", make_table(50))
    code = (
        "import sys\n"
        "from tfx_imbalance.components.example_gen.params import IngestParams\n"
        "from tfx_imbalance.components.example_gen.preflight import inspect\n"
        f"assert inspect({str(path)!r}, IngestParams(label='y')).rows == 50\n"
        "print({'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
