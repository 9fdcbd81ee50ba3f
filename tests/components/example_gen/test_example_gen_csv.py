"""CSV files as people have them: read as pandas reads them, or refused in one line."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import sources

LINES = [f"{i},{i % 7},{'yes' if i % 4 == 0 else 'no'}" for i in range(200)]
GOOD = "\n".join(["a,b,y", *LINES]) + "\n"


@pytest.fixture
def rows(tmp_path):
    """rows(content, name, ...) -> the rows that `sources.read` gives, as lists of text."""

    def rows(content, name="a.csv", **options):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        batches = list(sources.read(str(tmp_path / name), "csv", **options))
        return [list(row.values()) for b in batches for row in b.to_pylist()]

    return rows


def by_pandas(content, delimiter=","):
    table = pd.read_csv(
        io.BytesIO(content.encode()),
        dtype=str,
        keep_default_na=False,
        na_values=[""],
        sep=delimiter,
    )
    return [[None if v is np.nan else v for v in row] for row in table.to_numpy().tolist()]


LONG = "x" * 140_000
FORMS = {
    "as is": GOOD,
    "no last line end": GOOD.rstrip(),
    "CRLF": GOOD.replace("\n", "\r\n"),
    "lone CR": GOOD.replace("\n", "\r"),
    "BOM": "\ufeff" + GOOD,
    "BOM and quotes": "\ufeff" + GOOD.replace("a,b,y", '"a","b","y"'),
    "blank lines": GOOD.replace("\n1,", "\n\n\n1,") + "\n\n",
    "lines of blanks": GOOD.replace("\n1,", "\n   \n\t\n1,") + "  ",
    "line ends in quotes": GOOD.replace("\n5,", '\n"5\n\r\n,""5""",'),
    "a long field": GOOD.replace("\n5,", f"\n{LONG},"),
    "a long field in quotes": GOOD.replace("\n5,", f'\n"{LONG}\n{LONG}",'),
    "a field longer than two blocks": GOOD.replace("\n5,", f'\n"{LONG * 70}",'),
    "a field of many lines": GOOD.replace("\n5,", '\n"' + "line\n" * 2_000_000 + '",'),
    "a quote inside": GOOD.replace("\n5,", '\n5" wide,'),
    "a quote and more": GOOD.replace("\n5,", '\n"5"x,'),
    "quoted last field": GOOD + '1,2,"no"',
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("pack", [False, True])
def test_rows_are_those_of_pandas(rows, name, pack):
    content = FORMS[name].encode()
    assert rows(gzip.compress(content, 1) if pack else content) == by_pandas(FORMS[name])


@pytest.mark.parametrize("columns", [["y"], ["a", "y"], None])
@pytest.mark.parametrize("at", ["\n5,", "\n5,5,", "\n199,3,"])
def test_a_quote_that_is_never_closed_is_found_in_columns_that_are_not_read(rows, columns, at):
    line = int(at.split(",")[0]) + 2
    with pytest.raises(UserError, match=rf"a\.csv, line {line}: bad quoting"):
        rows(GOOD.replace(at, f'{at}"'), columns=columns)


def test_a_quote_that_is_never_closed_is_found_in_the_last_field_of_all(rows):
    for end in ("", "\n"):
        with pytest.raises(UserError, match=r"a\.csv, line 202: bad quoting"):
            rows(GOOD + '1,2,"no' + end)


BAD = {
    "UTF-16": (GOOD.encode("utf-16"), r"a\.csv: not UTF-8 but UTF-16 .*save it as UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), r"line 1: not UTF-8 text: it has a NUL"),
    "a NUL": (GOOD.replace("\n5,5", "\n5,\0"), r"a\.csv, line 7: .*NUL byte"),
    "Windows-1252": (GOOD.replace("\n5,5", "\n5,ü").encode("cp1252"), r"line 7: .*Windows-1252"),
    "a ragged row behind strange quotes": (
        GOOD.replace("\n5,", '\n"5"x,').replace("\n9,", "\n9,9,"),
        r"line 11: 4 fields, .* has 3",
    ),
    "a long line": (
        GOOD.replace("\n5,", "\n" + "5" * 70_000 + ","),
        r"line 7: a row longer than 65,536 bytes",
    ),
    "a long row": (
        GOOD.replace("\n5,", '\n"' + "line\n" * 20_000 + '",'),
        r"a\.csv, line 7: a row longer than 65,536 bytes",
    ),
    "a long row that never ends": (
        GOOD.replace("\n5,", '\n"' + "line\n" * 2_000_000 + ","),
        r"a\.csv, line 7: bad quoting",
    ),
    "corrupt gzip": (
        gzip.compress(GOOD.encode())[:60] + b"xxxxxxx" + gzip.compress(GOOD.encode())[67:],
        r"a\.csv: the gzipped data are cut short or corrupt",
    ),
    "a gzip's first bytes": (b"\x1f\x8b\x08", r"a\.csv: the gzipped data are cut short or corrupt"),
}


def trailing(text, to):
    """The text with something behind each line but the first."""
    header, *lines = text.splitlines()
    return "\n".join([header, *(line + to for line in lines)]) + "\n"


def packed(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, GOOD)
    return file.getvalue()


ROWS = "\n".join(GOOD.splitlines()[1:])
BAD |= {
    "Excel's first line": ("sep=;\r\n" + GOOD, r"first line is Excel's 'sep=;', .* delete"),
    "Excel's first line behind a mark": (
        "\ufeffsep=,\n" + GOOD,
        r"first line is Excel's 'sep=,', .* data\.delimiter: ','",
    ),
    "R's row names": (GOOD.replace("a,b,y", "b,y"), r"line 2: 3 fields, .* has 2; .* row\.names"),
    "trailing delimiters": (trailing(GOOD, ","), r"line 2: 4 fields, .* delete the delimiter"),
    "one trailing delimiter": (
        GOOD.replace("\n0,0,yes", "\n0,0,yes,"),
        r"line 2: .*; quote fields",
    ),
    "trailing delimiters later": (
        "a,b,y\n1,2,no\n" + trailing("\n" + ROWS, ","),
        r"line 4: 4 fields, .* quote fields",
    ),
    "zip": (packed("a.csv"), r"a\.csv: not a CSV but a zip archive or a workbook .*unpack"),
    "bzip2": (bz2.compress(GOOD.encode()), r"packed by bzip2: run bunzip2"),
    "xz": (lzma.compress(GOOD.encode()), r"packed by xz"),
    "zstd": (pa.compress(GOOD.encode(), "zstd", asbytes=True), r"packed by zstd"),
    "Parquet": (b"PAR1\x15\x04\x15", r"a Parquet file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(rows, name):
    content, message = BAD[name]
    with pytest.raises(UserError, match=message) as caught:
        rows(content, max_line_bytes=1 << 16)
    assert "\n" not in str(caught.value)


def test_texts_that_begin_as_other_formats_do_are_read(rows):
    for name in ("BZh", "PAR1", "PK", "sep", "sep="):
        assert list(rows(GOOD.replace("a,", f"{name},", 1)))


def test_fields_between_blanks_are_told(ingest, tmp_path):
    (tmp_path / "a.txt").write_text(GOOD.replace(",", " "))
    with pytest.raises(UserError, match=r"no column 'y' in .*set data\.delimiter: ' '"):
        ingest(tmp_path / "a.txt")
    assert len(ingest(tmp_path / "a.txt", delimiter=" ").rows) == 200


@pytest.mark.parametrize("name", ["a.csv.gz", "a", "a.parquet", "a.tfrecord.gz", "a.tfrecord"])
def test_corrupt_gzip_is_the_users_mistake_whatever_it_is_to_be(ingest, tmp_path, name):
    for damage in (slice(10, 30), slice(0, 0)):
        data = bytearray(gzip.compress(GOOD.encode() * 50))
        data[damage] = bytes(len(data[damage]))
        (tmp_path / name).write_bytes(data[: len(data) // 2 + 8])
        with pytest.raises(UserError, match=name):
            ingest(tmp_path / name)


@pytest.mark.parametrize("pack", [False, True])
def test_a_line_of_a_gigabyte_is_refused_before_it_is_in_memory(tmp_path, pack):
    path = tmp_path / ("a.csv.gz" if pack else "a.csv")
    with gzip.open(path, "wb", 1) if pack else path.open("wb") as file:
        file.write(b"a,y\n1,x\n")
        for _ in range(64 if pack else 1024):
            file.write(b"x" * (16 << 20) if pack else b"x" * (1 << 20))
    code = (
        "import resource, sys\n"
        "from tfx_imbalance.components.errors import UserError\n"
        "from tfx_imbalance.components.example_gen import sources\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: list(sources.read(sys.argv[1], 'csv'))\n"
        "except UserError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    message, kilobytes = done.stdout.splitlines()
    assert "line 3: a row longer than 67,108,864 bytes; raise data.max_line_bytes" in message
    assert int(kilobytes) < 600_000
