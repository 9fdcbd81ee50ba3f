"""What cells mean: numbers as people write them, missing values, classes, far dates."""

import csv
import datetime
import io
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import kinds, sources
from tfx_imbalance.components.example_gen.facts import Distinct
from tfx_imbalance.components.example_gen.kinds import Kind, TextFormat
from tfx_imbalance.components.example_gen.params import NULL_VALUES, THOUSANDS, IngestParams
from tfx_imbalance.components.example_gen.preflight import inspect, survey

YN = ("no", "yes")


def csv_of(path, values, label=YN, rows=60):
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", "v", "y"])
        out.writerows([i, values[i % len(values)], label[i % len(label)]] for i in range(rows))
    return path


def read(values, text_format):
    text = pa.array(values, pa.string())
    kind = kinds.kind_of_text(text, Kind.NULL, text_format)
    return kind, kinds.typed(text, kind, text_format).to_pylist()


@pytest.mark.parametrize(
    ("decimal", "thousands", "values", "expected"),
    [
        (".", ",", ["46,156", "1,234,567", "12"], [46156, 1234567, 12]),
        (".", ",", ["1,23,456.5", "7"], [123456.5, 7.0]),
        (",", ".", ["1.234,5", "0,25", "-3"], [1234.5, 0.25, -3.0]),
        (",", None, ["3,5", "1e3", ",5"], [3.5, 1000.0, 0.5]),
        (".", " ", ["1 234", "12 345 678"], [1234, 12345678]),
        (",", "\u202f", ["1\u202f234,5"], [1234.5]),
        (".", "'", ["1'234.5"], [1234.5]),
        (".", None, ["+5", "\u22127", " 3 "], [5, -7, 3]),
        (".", ",", ["$1,200.50", "-$3", "$-4.5"], [1200.5, -3.0, -4.5]),
        (",", ".", ["€ 3,5", "1.200 €"], [3.5, 1200.0]),
        (".", None, ["12 %", "0.5%"], [12.0, 0.5]),
        (".", ",", ["(1,000)", "250"], [-1000, 250]),
        (".", None, [" $ (3.00)", "$(4.50)", " $ 3.00 "], [-3.0, -4.5, 3.0]),
    ],
)
def test_numbers_are_read_as_people_write_them(decimal, thousands, values, expected):
    kind, found = read(values, TextFormat(decimal, thousands))
    assert kind in (Kind.INT, Kind.FLOAT)
    assert found == expected
    assert [type(v) for v in found] == [type(v) for v in expected]


@pytest.mark.parametrize(
    ("decimal", "thousands", "values"),
    [
        (".", None, ["46,156"]),
        (".", ",", ["1,2,3"]),
        (".", ",", ["46,15"]),
        (",", None, ["3.5", "2,5"]),
        (",", ".", ["3.14", "2,5"]),
        (".", None, ["05.01.2024"]),
        (".", None, ["5 5"]),
        (".", None, ["--5"]),
        (".", None, ["+-5"]),
        (".", None, ["$($5)"]),
        (".", None, ["-$-5"]),
        (".", None, ["K1", "$"]),
        (".", None, ["0x1F"]),
        (".", ",", ["0,125"]),
        (",", ".", ["0.125"]),
        (".", " ", ["030 123 456"]),
    ],
)
def test_what_is_no_number_in_the_format_stays_text(decimal, thousands, values):
    kind, found = read(values, TextFormat(decimal, thousands))
    assert kind is Kind.TEXT
    assert found == [v.encode() for v in values]


@settings(deadline=None, max_examples=150)
@given(
    numbers=st.lists(
        st.one_of(st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9).map(lambda x: round(x, 3))),
        min_size=1,
        max_size=40,
    ),
    decimal=st.sampled_from(".,"),
    thousands=st.sampled_from([None, *THOUSANDS]),
    blanks=st.sampled_from(["", " ", "\t"]),
)
def test_formatted_numbers_are_what_pandas_reads(numbers, decimal, thousands, blanks):
    if thousands == decimal:
        return
    swap = str.maketrans({",": thousands or "", ".": decimal})
    texts = [blanks + f"{n:,}".translate(swap) + blanks for n in numbers]
    ascii_thousands = thousands if thousands is None or thousands.isascii() else "'"
    out = io.StringIO()
    plain = [t.strip(" \t").replace(thousands or "'", ascii_thousands or "'") for t in texts]
    csv.writer(out).writerows([["v"], *([t] for t in plain)])
    how = {"thousands": ascii_thousands, "float_precision": "round_trip"}
    peer = pd.read_csv(io.StringIO(out.getvalue()), decimal=decimal, **how)["v"]
    _, found = read(texts, TextFormat(decimal, thousands))
    assert found == pytest.approx(peer.tolist(), rel=1e-15)


@settings(deadline=None, max_examples=80)
@given(
    values=st.lists(
        st.sampled_from(
            ["1", "2.5", "1,000", "3,5", "1.234,5", "$5", "12%", "(7)", "?", "NA", " ", "nan", "x"]
        ),
        max_size=12,
    ),
    at=st.integers(0, 12),
    text_format=st.builds(
        TextFormat,
        st.sampled_from(".,"),
        st.sampled_from([None, " "]),
        st.sampled_from([(), ("?",), ("?", "NA"), ("1",), ("nan",)]),
        st.booleans(),
    ),
)
def test_the_kind_of_a_whole_is_the_join_of_its_parts_in_any_format(values, at, text_format):
    def kind(part):
        return kinds.kind_of_text(pa.array(part, pa.string()), Kind.NULL, text_format)

    whole = kind(values)
    assert kinds.join(kind(values[:at]), kind(values[at:])) is whole
    kinds.typed(pa.array(values, pa.string()), whole, text_format)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["1", "?", "3"], {"null_values": ("?",)}, [1, None, 3]),
        (["1", " ? ", "3.5"], {"null_values": ("?",)}, [1.0, None, 3.5]),
        (["1", "NA", " "], {}, [1, None, None]),
        (["1", "NA", "3"], {"null_values": ()}, [b"1", b"NA", b"3"]),
        (["1", "-999", "3"], {"null_values": ("-999",)}, [1, None, 3]),
        (["1", "-999", "3"], {"null_values": [-999]}, [1, None, 3]),
        (["1", "\u00a0", "\u00a03"], {}, [1, None, 3]),
        (["true", "NULL", "-"], {"null_values": ("NULL", "-")}, [1, None, None]),
        (["1970-01-02", "-", ""], {"null_values": ("-",)}, [86400, None, None]),
        (["EU", "NA", ""], {}, [b"EU", b"NA", None]),
        (["None", "null", "nan"], {}, [b"None", b"null", b"nan"]),
        (["EU", " ", "?"], {"null_values": ("?",)}, [b"EU", b" ", b"?"]),
        (["EU", "NA", "?"], {"column_null_values": {"v": ("?",)}}, [b"EU", b"NA", None]),
        (["1", "NA", "?"], {"column_null_values": {"v": ("?", "NA")}}, [1, None, None]),
    ],
)
def test_missing_values_are_those_that_the_config_names(
    ingest, tmp_path, values, options, expected
):
    found = ingest(csv_of(tmp_path / "a.csv", values), **options).column("v")[:3]
    assert found == expected
    assert [type(v) for v in found] == [type(v) for v in expected]


def test_text_is_what_pandas_reads(ingest, tmp_path):
    values = [*NULL_VALUES, "None", "?", " a", "a ", "x,y", "", 'q"q', "-"]
    path = csv_of(tmp_path / "a.csv", values)
    peer = pd.read_csv(path, dtype=str, keep_default_na=False)["v"]
    found = ingest(path).column("v")
    assert [(v or b"").decode() for v in found] == peer.tolist()


def test_a_file_of_null_values_alone_is_text_beside_one_of_text(ingest, tmp_path):
    (tmp_path / "d").mkdir()
    csv_of(tmp_path / "d" / "a.csv", ["NA"])
    csv_of(tmp_path / "d" / "b.csv", ["EU", "x"])
    assert set(ingest(tmp_path / "d").column("v")) == {b"NA", b"EU", b"x"}
    csv_of(tmp_path / "d" / "b.csv", ["1", "2"])
    assert set(ingest(tmp_path / "d").column("v")) == {None, 1, 2}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("EU", "NA"), ["EU", "NA"]),
        (("None", "null"), ["None", "null"]),
        (("0", "nan"), ["0", "nan"]),
        (("1,000", "2"), ["1,000", "2"]),
        ((" no", "no", " yes", "yes"), ["no", "yes"]),
        (("no\u00a0", "no", "yes"), ["no", "yes"]),
        (("1", "1.0", " 2", "-3.00"), ["-3", "1", "2"]),
        (("1.0", "9007199254740993", "9007199254740992"), None),
        (("12345678901234567890", "12345678901234567891.0", "7"), None),
        (("$5", "\u20ac5", "$7"), ["$5", "$7", "\u20ac5"]),
        (("10", "10%"), ["10", "10%"]),
        (("(1)", "-1"), ["(1)", "-1"]),
        (("01", "1"), ["01", "1"]),
        (("007", "008"), ["007", "008"]),
        (("+1", "1", "2"), ["+1", "1", "2"]),
        (("\u22121", "-1"), ["-1", "\u22121"]),
        (("0", "-0", "1"), ["-0", "0", "1"]),
        (("1e3", "1000", "1000.0"), ["1000", "1000.0", "1e3"]),
        (("True", "false"), ["false", "true"]),
        (("true", "1"), ["1", "true"]),
    ],
)
def test_every_text_but_the_empty_one_is_a_class(ingest, tmp_path, labels, classes):
    path = csv_of(tmp_path / "a.csv", ["1", "2.5", "7"], labels)
    options = {"null_values": ("NA", "EU", "0"), "thousands": ","}
    classes = classes or sorted(label.removesuffix(".0") for label in labels)
    assert ingest(path, **options).summary.classes == classes
    assert sorted(inspect(str(path), IngestParams(label="y", **options)).class_counts) == classes


@settings(deadline=None, max_examples=80)
@given(
    labels=st.lists(
        st.sampled_from(["1", "1.0", "01", "-1", "(1)", "1e0", "0.5", "5e-1", "true", "a", ""]),
        max_size=10,
    ),
    at=st.integers(0, 10),
)
def test_the_kind_of_a_label_is_the_join_of_its_parts(labels, at):
    def kind(part, known=Kind.NULL):
        return kinds.kind_of_label(pa.array(part, pa.string()), known)

    whole = kind(labels)
    assert kinds.join(kind(labels[:at]), kind(labels[at:])) is whole
    assert kind(labels[at:], kind(labels[:at])) is whole
    names = kinds.label_values(pa.array(labels, pa.string()), whole)
    if whole is Kind.TEXT:
        assert len(names.unique()) == len(set(labels))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (
            pa.array([Decimal(10**20), Decimal(10**20 + 1)] * 30, pa.decimal128(38, 0)),
            ["100000000000000000000", "100000000000000000001"],
        ),
        (pa.array([Decimal("1.00"), Decimal("-2.00")] * 30), ["-2", "1"]),
        (pa.array([Decimal(0), Decimal(1)] * 30, pa.decimal128(30, 9)), ["0", "1"]),
        (pa.array([1e20, 3.0] * 30), ["100000000000000000000", "3"]),
    ],
)
def test_declared_numbers_are_called_by_their_digits(ingest, tmp_path, labels, classes):
    path = str(tmp_path / "a.parquet")
    pq.write_table(pa.table({"v": list(range(60)), "y": labels}), path)
    assert ingest(path).summary.classes == classes
    for look in (inspect, survey):
        assert sorted(look(path, IngestParams(label="y")).class_counts) == classes


@settings(deadline=None, max_examples=80)
@given(
    digits=st.integers(1, 10**20).map(str),
    zeros=st.integers(0, 280),
    other=st.integers(-2, 2),
)
def test_a_whole_number_has_one_identity_however_it_is_written(digits, zeros, other):
    number = int(digits) * 10**zeros
    texts = [
        str(number),
        f"{number}.0",
        f" 0{number} ",
        f"{digits}e{zeros}",
        f"{digits[0]}.{digits[1:]}E+{zeros + len(digits) - 1}",
        f"{digits}0000e{zeros - 4}",
    ]
    text = pa.array([*texts, f"{number + other}", "1e20", "0.5"])
    found = kinds.exact_hash(text, kinds.typed(text, Kind.FLOAT))
    assert len(set(found[: len(texts)])) == 1
    assert (found[len(texts)] == found[0]) == (other == 0)
    assert len(set(found[-2:])) == 2


@pytest.mark.parametrize("labels", [("0.5", "1e-05", "1"), (".5", "-0.25")])
def test_fractions_are_no_classes(ingest, tmp_path, labels):
    path = csv_of(tmp_path / "a.csv", ["1", "2"], labels)
    with pytest.raises(UserError, match=r"row 1.* holds the number 0\.5, .*regression"):
        ingest(path)


def test_a_blank_label_is_none(ingest, tmp_path):
    path = csv_of(tmp_path / "a.csv", ["1", "2"], ("no", "yes", " "))
    assert ingest(path, unlabelled="drop").summary.unlabelled == 20


def test_blanks_in_a_label_are_told(ingest, tmp_path):
    path = csv_of(tmp_path / "a.csv", ["1", "2"], (" no", "no", "yes", "yes\t"))
    (note,) = ingest(path).summary.notes
    assert (note.name, note.column) == ("blanks_in_label", "y")
    assert "' no', 'yes\\t' are the classes 'no', 'yes'" in note.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimal": ",", "thousands": ","}, "thousands: ',' is decimal already"),
        ({"column_null_values": {"y": ("?",)}}, "every text but the empty one is a class"),
        ({"thousands": "_"}, "Input should be"),
        ({"null_values": ["?", None]}, "in quotes"),
        ({"column_null_values": {"v": [True]}}, "in quotes"),
    ],
)
def test_formats_that_contradict_themselves_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        IngestParams(label="y", **options)


def test_null_values_of_a_column_that_is_not_there_are_refused(ingest, tmp_path):
    path = csv_of(tmp_path / "a.csv", ["1", "2"])
    with pytest.raises(UserError, match=r"data\.column_null_values: no column 'V'"):
        ingest(path, column_null_values={"V": ("?",)})


FAR = ["9999-12-31", "0001-01-01", "1500-03-04", "2300-01-01", "1969-12-31"]


def seconds(day):
    date = datetime.datetime.fromisoformat(day)
    return (date - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)


@pytest.mark.parametrize("form", ["csv", "s", "ms", "us", "date32", "date64"])
def test_dates_of_any_year_are_read(ingest, tmp_path, form):
    days = [FAR[i % 5] for i in range(60)]
    labels = [YN[i % 2] for i in range(60)]
    if form == "csv":
        path = csv_of(tmp_path / "a.csv", FAR)
    else:
        dates = pa.array([datetime.date.fromisoformat(d) for d in days])
        cast = dates.cast(getattr(pa, form)() if form.startswith("date") else pa.timestamp(form))
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"v": cast, "i": list(range(60)), "y": labels}), path)
    assert ingest(path).column("v") == [seconds(day) for day in days]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["2024-01-01 00:00:01 UTC", "1969-12-31 23:59:59.5 UTC"], Kind.ZONED),
        (["2024-01-01 00:00:01 UTC", "2024-01-01T02:00:00.25+02:00"], Kind.ZONED),
        (["2024-01-01 00:00:00.123456789", "1969-12-31T23:59:59.9999999"], Kind.TIME),
        (["2024-01-01 00:00:00.123456789Z", "1969-12-31 23:59:59.123456 UTC"], Kind.ZONED),
        (["2024-01-01 00:00:00", "2024-01-01 00:00:00 UTC"], Kind.TEXT),
        (["2024-01-01 00:00:00 CET"], Kind.TEXT),
        (["2024-01-01 00:00:00.1234567890"], Kind.TEXT),
        (["12 UTC"], Kind.TEXT),
    ],
)
def test_times_are_read_as_databases_write_them(texts, kind):
    found, times = read([*texts, None], TextFormat())
    assert found is kind
    if kind is not Kind.TEXT:
        peers = [pd.Timestamp(text.replace(" UTC", "Z")).value for text in texts]
        assert times == [*(nanoseconds // 1000 for nanoseconds in peers), None]


def test_times_of_spark_are_read(ingest, tmp_path):
    days = [FAR[i % 5] for i in range(60)]
    times = pa.array([datetime.datetime.fromisoformat(day) for day in days], pa.timestamp("us"))
    table = pa.table({"v": times, "i": list(range(60)), "y": [YN[i % 2] for i in range(60)]})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    stored = pq.read_table(tmp_path / "a.parquet", coerce_int96_timestamp_unit="us")["v"]
    assert ingest(tmp_path / "a.parquet").column("v") == [
        int(np.floor(v / 1_000_000)) for v in stored.cast(pa.int64()).to_pylist()
    ]


def test_a_time_beyond_microseconds_is_told(ingest, tmp_path):
    far = pa.array([10**14 + i for i in range(60)], pa.int64()).cast(pa.timestamp("s"))
    table = pa.table({"v": far, "y": [YN[i % 2] for i in range(60)]})
    pq.write_table(table, tmp_path / "a.parquet", version="2.6")
    with pytest.raises(UserError, match="column 'v'"):
        ingest(tmp_path / "a.parquet")


def test_seconds_keep_every_digit():
    micro = [253402300799_999_999, -1, -1_000_001, 2**62 + 1]
    found = kinds.feature(pa.array([*micro, None]), Kind.TIME).to_pylist()
    assert found == [*(m // 1_000_000 for m in micro), None]


def notes_of(found, name):
    return [note for note in found.summary.notes if note.name == name]


def test_a_column_that_looks_like_numbers_is_told(ingest, tmp_path):
    values = [*map(str, range(38)), "n.a.", "?"]
    (note,) = notes_of(ingest(csv_of(tmp_path / "a.csv", values, rows=80)), "numbers_as_text")
    assert note.column == "v"
    assert "95.0% of its values look like numbers" in note.message
    assert "'?', 'n.a.'" in note.message
    assert "data.null_values" in note.message
    values = [f"{i},156" for i in range(40)]
    (note,) = notes_of(ingest(csv_of(tmp_path / "a.csv", values, rows=80)), "numbers_as_text")
    assert "100.0%" in note.message
    assert "'0,156', '1,156', '10,156' set data.decimal and data.thousands" in note.message
    mixed = ["a", "b", "1"]
    assert not ingest(csv_of(tmp_path / "a.csv", mixed, rows=80)).summary.notes


@pytest.mark.parametrize(
    ("values", "units", "examples"),
    [
        (["$5", "\u20ac5", "5%", "$4"], "'$', '%', '\u20ac'", "'$4', '5%', '\u20ac5'"),
        (["0.5", "50%", "0.25"], "none, '%'", "'50%'"),
        (["7", "(\u00a3 3)", "\u22124"], "none, '\u00a3'", "'(\u00a3 3)'"),
        (["5%", "NA", "7 %"], None, None),
        (["\u22125", "6", "\u00a07"], None, None),
    ],
)
def test_numbers_of_several_units_are_told(ingest, tmp_path, values, units, examples):
    path = csv_of(tmp_path / "a.csv", values)
    notes = notes_of(ingest(path), "mixed_units")
    assert [note.column for note in notes] == ["v"] * (units is not None)
    if notes:
        assert f"different units ({units}), such as {examples};" in notes[0].message
    (tmp_path / "d").mkdir()
    for i, value in enumerate(values):
        csv_of(tmp_path / "d" / f"{i}.csv", [value])
    assert notes_of(ingest(tmp_path / "d"), "mixed_units") == notes
    told = survey(str(path), IngestParams(label="y")).notes
    assert [note for note in told if note.name == "mixed_units"] == notes


def test_weights_of_several_units_are_told(ingest, tmp_path):
    path = csv_of(tmp_path / "a.csv", ["5", "50%"])
    assert len(notes_of(ingest(path, weight="v"), "mixed_units")) == 1


def test_free_text_is_told(ingest, tmp_path):
    values = [f"word {i} of many" for i in range(200)]
    (note,) = notes_of(ingest(csv_of(tmp_path / "a.csv", values, rows=400)), "free_text")
    assert note.column == "v"
    assert "preprocessing.fn" in note.message
    assert not ingest(csv_of(tmp_path / "a.csv", values[:60], rows=400)).summary.notes


def test_texts_with_line_breaks_are_told(ingest, tmp_path):
    values = [f'"kind {i}\nsecond line"' for i in range(6)] + ["kind 6", "kind 7"]
    (note,) = ingest(csv_of(tmp_path / "a.csv", values, rows=80)).summary.notes
    assert (note.name, note.column) == ("line_breaks", "v")
    assert "75.0% of its values have a line break" in note.message


def test_what_float32_loses_is_told(ingest, tmp_path):
    values = [f"{1_700_000_000 + i}.5" for i in range(300)]
    exact = {np.float32(v) for v in values}
    (note,) = ingest(csv_of(tmp_path / "a.csv", values, rows=600)).summary.notes
    assert (note.name, note.column) == ("float32_loss", "v")
    assert f"300 distinct numbers, of which {len(exact)} are left" in note.message
    ids = [f"202311010000000{i:05}" for i in range(294)]
    (note,) = ingest(csv_of(tmp_path / "a.csv", ids, rows=600)).summary.notes
    assert "294 distinct numbers, of which 1 are left" in note.message
    fine = [f"{i / 7}" for i in range(300)]
    assert not ingest(csv_of(tmp_path / "a.csv", fine, rows=600)).summary.notes
    whole = [str(1_700_000_000 + i) for i in range(300)]
    assert not ingest(csv_of(tmp_path / "a.csv", whole, rows=600)).summary.notes


@pytest.mark.parametrize("step", [1e-5, 1e-9])
def test_notes_on_many_values_depend_on_no_order(ingest, tmp_path, monkeypatch, step):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 1 << 14)
    values = [repr(1000 + i * step) for i in range(9_000)]
    kept = len({np.float32(v) for v in values}) / 9_000
    told = []
    for seed in (0, 1):
        np.random.default_rng(seed).shuffle(values)
        told.append(ingest(csv_of(tmp_path / "a.csv", values, rows=9_000)).summary.notes)
    assert told[0] == told[1]
    (tmp_path / "d").mkdir()
    for i, name in enumerate(("b", "a")):
        csv_of(tmp_path / "d" / f"{name}.csv", values[i::2], rows=4_500)
    assert ingest(tmp_path / "d").summary.notes == told[0]
    (note,) = told[0]
    share = re.search(r"more than 2,0\d\d distinct numbers, of which ([0-9.]+)% are", note.message)
    assert float(share[1]) / 100 == pytest.approx(kept, rel=0.1, abs=1e-3)


def test_columns_of_words_cost_no_large_pattern(ingest, write, monkeypatch):
    """To compile one takes longer than all else that is done with a column of few rows."""
    patterns = []
    match = pc.match_substring_regex
    monkeypatch.setattr(
        pc, "match_substring_regex", lambda v, p, **how: patterns.append(p) or match(v, p, **how)
    )
    table = {"x": [f"word {i % 9}" for i in range(60)], "y": ["a", "b"] * 30}
    assert ingest(write("a.csv", table)).summary.kinds["x"] is Kind.TEXT
    assert patterns
    assert max(map(len, patterns)) < 500


def test_a_sample_of_distinct_values_holds_no_more_than_itself():
    distinct = Distinct(limit=64)
    for start in (0, 500):
        words = np.arange(start, start + 1_000, dtype=np.uint64)
        distinct.add(words, np.ones(len(words), np.int64))
    assert len(distinct.words) == 64
    assert distinct.words.base is None
    assert distinct.rows.base is None


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_wide_tables_blocks_have_few_rows(write, monkeypatch, name):
    monkeypatch.setattr(sources, "_LEAST_ROWS", 7)
    monkeypatch.setattr(sources, "_BLOCK_CELLS", 20)
    path = str(write(name, {"x": list(range(40)), "y": ["a", "b"] * 20}))
    blocks = list(sources.read(path, "csv" if name == "a.csv" else "parquet"))
    assert [block.num_rows for block in blocks] == [10, 10, 10, 10]
    monkeypatch.setattr(sources, "_BLOCK_CELLS", 2)
    blocks = list(sources.read(path, "csv" if name == "a.csv" else "parquet"))
    assert [block.num_rows for block in blocks] == [7] * 5 + [5]
    assert [int(str(x)) for block in blocks for x in block.column("x")] == list(range(40))
