"""Readers of CSV, Parquet and TFRecord files of tf.Example: Arrow blocks of thousands of rows."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..compat import forbid_pickled_types
from ..errors import UserError
from . import csv_rows
from .files import Format, is_gzip, open_arrow

BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 20
_BLOCK_CELLS = 1 << 21
_LEAST_ROWS = 256  # of a wide table's block: each costs by its columns
DELIMITERS = ",;\t|"

forbid_pickled_types()  # here: no other module opens files that declare types of columns


def column_names(
    path: str,
    file_format: Format,
    delimiter: str = ",",
    max_line_bytes: int = MAX_LINE_BYTES,
) -> list[str] | None:
    """Names of the columns by the file's header or schema; None for TFRecord, which has none.

    Raises:
      UserError: the file is empty, unreadable, or not of this format.
    """
    if file_format == "tfrecord":
        return None
    if file_format == "parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    found = csv_rows.header(path, delimiter, max_line_bytes)
    if found is None:
        raise UserError(f"{path}: the file is empty; a CSV with a header was expected")
    return found[0]


def parquet_types(path: str) -> dict[str, pa.DataType]:
    """Column -> type of a Parquet file; raises UserError where it is none."""
    with _parquet(path) as file:
        return {field.name: field.type for field in file.schema_arrow}


def read(
    path: str,
    file_format: Format,
    delimiter: str = ",",
    columns: list[str] | None = None,
    features: dict[str, str] | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[pa.RecordBatch]:
    """The rows of one file, in order.

    Args:
      path: the file.
      file_format: its format.
      delimiter: between a CSV's fields.
      columns: of CSV and Parquet, the only columns to read; None: all.
      features: of TFRecord, name -> 'int', 'float' or 'bytes' of the only ones to read; None: all.
      max_line_bytes: that a CSV's row may have, with the line ends in its quotes; what is longer is
        refused before it fills the memory.

    Yields:
      Batches. From CSV every column is a string column, null where a field is empty; from Parquet
      columns have the file's types; from TFRecord they are lists, null where a feature is absent.

    Raises:
      UserError: the file is cut short, corrupt, ragged or not UTF-8.
    """
    if file_format == "csv":
        return _read_csv(path, delimiter, columns, max_line_bytes)
    if file_format == "parquet":
        return _read_parquet(path, columns)
    return _read_tfrecord(path, features)


def other_delimiter(names: list[str]) -> str | None:
    """The delimiter that a one-column header seems to have instead."""
    if len(names) != 1:
        return None
    best = max(DELIMITERS, key=names[0].count)
    return best if best in names[0] else None


def _read_csv(
    path: str, delimiter: str, columns: list[str] | None, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    found = csv_rows.header(path, delimiter, max_line_bytes)
    names, header_end = found or ([], 0)
    parse = pa_csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=_blank_or_bad
    )
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
        include_columns=columns or [],
    )
    # A value seldom takes more than twice as many bytes as its column's name.
    block_bytes = max(BLOCK_BYTES, min(2 * _LEAST_ROWS * header_end, MAX_LINE_BYTES))
    for before, block in csv_rows.blocks(path, delimiter, max_line_bytes, block_bytes):
        rows = block[max(header_end - before, 0) :]
        if not rows or rows.isspace():
            continue
        how = pa_csv.ReadOptions(column_names=names, block_size=len(rows) + 1, use_threads=False)
        try:
            # Not read_csv: on Python 3.10 that looks at every object there is, for a signal's sake.
            table = pa_csv.open_csv(pa.BufferReader(rows), how, parse, convert).read_all()
        except pa.ArrowException as error:
            csv_rows.check_rows(path, delimiter, max_line_bytes, len(names))
            message = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: cannot be read as CSV ({message})") from error
        yield from table.to_batches(_block_rows(table.num_columns))


def _blank_or_bad(row: pa_csv.InvalidRow) -> str:
    return "error" if row.text.strip() else "skip"


class _parquet:
    """Opens a Parquet file; raises UserError where it is none or is cut short."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> pq.ParquetFile:
        self._raw = open_arrow(self._path)
        try:
            # Spark's and Impala's old times: nanoseconds would wrap beyond 2262.
            return pq.ParquetFile(self._raw, coerce_int96_timestamp_unit="us")
        except Exception as error:  # of Python's types for columns, too, which are given file bytes
            self._raw.close()
            if "arrow.py_extension_type" in str(error):
                raise UserError(
                    f"{self._path}: has a column of a pickled Python type "
                    "(arrow.py_extension_type), which could run any code: refused; write the file "
                    "again with plain types"
                ) from error
            raise UserError(
                f"{self._path}: not a Parquet file, or cut short ({_brief(error)})"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _read_parquet(path: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        width = len(columns or file.schema_arrow.names)
        try:
            yield from file.iter_batches(_block_rows(width), columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: corrupt Parquet file ({_brief(error)})") from error


def _block_rows(columns: int) -> int:
    """The most rows of a block: memory goes by its cells."""
    return max(_LEAST_ROWS, min(65536, _BLOCK_CELLS // max(1, columns)))


def _read_tfrecord(path: str, features: dict[str, str] | None) -> Iterator[pa.RecordBatch]:
    from ..examples_io import decoder, read_blocks

    decode = decoder(features)
    row = 0
    try:
        for block in read_blocks([path]):
            yield decode.DecodeBatch(list(block))
            row += len(block)
    except UserError as error:
        gz = is_gzip(path) and not path.endswith(".gz")
        hint = "a gzipped file's name must end in .gz" if gz else "copy it again"
        reason = _brief(error.__cause__ or error)
        raise UserError(
            f"{path}: not a TFRecord file, cut short or corrupt ({reason}); {hint}"
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"{path}, rows {row + 1:,} to {row + len(block):,}: records that are not all "
            f"tf.Examples with one type a feature ({_brief(error)})"
        ) from error


def _brief(error: BaseException) -> str:
    text = str(error).split("}} ")[-1].split(" [Op:")[0]
    return " ".join(text.split())[:200]
