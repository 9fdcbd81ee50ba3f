"""Readers of CSV, Parquet and TFRecord files of tf.Example: Arrow blocks of thousands of rows."""

import csv
import io
import itertools
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..errors import UserError
from .files import (
    Format,
    broken_gzip,
    is_gzip,
    open_arrow,
    open_binary,
)

BLOCK_BYTES = 4 << 20
_BLOCK_CELLS = 1 << 21
DELIMITERS = ",;\t|"


def column_names(path: str, file_format: Format, delimiter: str = ",") -> list[str] | None:
    """Names of the columns by the file's header or schema; None for TFRecord, which has none.

    Raises:
      UserError: the file is empty, unreadable, or not of this format.
    """
    if file_format == "tfrecord":
        return None
    if file_format == "parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    with open_binary(path, unpack=True) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            for row in csv.reader(text, delimiter=delimiter):
                if row:
                    return row
        except UnicodeDecodeError as error:
            raise _csv_error(path, delimiter, str(error)) from error
        except (OSError, EOFError) as error:
            raise broken_gzip(path, error) from error
        except csv.Error as error:
            raise UserError(f"{path}: the header cannot be read as CSV ({error})") from error
    raise UserError(f"{path}: the file is empty; a CSV with a header was expected")


def read(
    path: str,
    file_format: Format,
    delimiter: str = ",",
    columns: list[str] | None = None,
    features: dict[str, str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of one file, in order.

    Args:
      path: the file.
      file_format: its format.
      delimiter: between a CSV's fields.
      columns: of CSV and Parquet, the only columns to read; None: all.
      features: of TFRecord, name -> 'int', 'float' or 'bytes' of the only ones to read; None: all.

    Yields:
      Batches. From CSV every column is a string column, null where a field is empty; from Parquet
      columns have the file's types; from TFRecord they are lists, null where a feature is absent.

    Raises:
      UserError: the file is cut short, corrupt, ragged or not UTF-8.
    """
    if file_format == "csv":
        return _read_csv(path, delimiter, columns)
    if file_format == "parquet":
        return _read_parquet(path, columns)
    return _read_tfrecord(path, features)


def first_fields(path: str, delimiter: str, rows: int) -> list[int]:
    """Numbers of fields of a CSV's first rows; [0] where it cannot be read with the delimiter."""
    with open_binary(path, unpack=True) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        try:
            lines = itertools.islice(filter(None, csv.reader(text, delimiter=delimiter)), rows)
            return [len(line) for line in lines] or [0]
        except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error):
            return [0]


def other_delimiter(names: list[str]) -> str | None:
    """The delimiter that a one-column header seems to have instead."""
    if len(names) != 1:
        return None
    best = max(DELIMITERS, key=names[0].count)
    return best if best in names[0] else None


def _read_csv(path: str, delimiter: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    names = column_names(path, "csv", delimiter) or []
    options = {
        "read_options": pa_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        "parse_options": pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
            include_columns=columns or [],
        ),
    }
    batch = None
    with open_arrow(path) as raw:
        stream = pa.CompressedInputStream(raw, "gzip") if is_gzip(path) else raw
        try:
            for batch in pa_csv.open_csv(stream, **options):
                yield batch
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            if "Empty CSV file" in str(error):
                return  # a header without a line end
            raise _csv_error(path, delimiter, str(error)) from error
        except OSError as error:
            raise broken_gzip(path, error) from error
    # A quoted field that is never closed takes in the rest of the file.
    if batch is not None and any("\n" in (v.as_py() or "") for v in _last_row(batch)):
        _check_csv_lines(path, delimiter)


def _last_row(batch: pa.RecordBatch) -> list[pa.Scalar]:
    return [column[-1] for column in batch.columns] if batch.num_rows else []


def _csv_error(path: str, delimiter: str, message: str) -> UserError:
    try:
        _check_csv_lines(path, delimiter)
    except UserError as error:
        return error
    return UserError(f"{path}: cannot be read as CSV ({' '.join(message.split())[:200]})")


def _check_csv_lines(path: str, delimiter: str) -> None:
    """Looks for the first bad line, slowly: for a message only.

    Raises:
      UserError: it is not UTF-8, has another number of fields than the header, or a quote in it
        is never closed.
    """
    with open_binary(path, unpack=True) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: not UTF-8 text; save the file as UTF-8, or set "
                    "data.format where it is no CSV"
                ) from error
    with open_binary(path, unpack=True) as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        expected = start = 0
        try:
            for row in rows:
                expected = expected or len(row)
                if row and len(row) != expected:
                    raise UserError(
                        f"{path}, line {start + 1}: {len(row)} fields, but the header has "
                        f"{expected}; quote fields that contain {delimiter!r} or set "
                        "data.delimiter"
                    )
                start = rows.line_num
        except csv.Error as error:
            raise UserError(
                f"{path}, line {start + 1}: bad quoting ({error}); close each quote and double "
                "a quote inside a quoted field"
            ) from error


class _parquet:
    """Opens a Parquet file; raises UserError where it is none or is cut short."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> pq.ParquetFile:
        self._raw = open_arrow(self._path)
        try:
            # Spark's and Impala's old times: nanoseconds would wrap beyond 2262.
            return pq.ParquetFile(self._raw, coerce_int96_timestamp_unit="us")
        except (pa.ArrowInvalid, OSError) as error:
            self._raw.close()
            raise UserError(
                f"{self._path}: not a Parquet file, or cut short ({_brief(error)})"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _read_parquet(path: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        width = len(columns or file.schema_arrow.names)
        rows = max(1024, min(65536, _BLOCK_CELLS // max(1, width)))
        try:
            yield from file.iter_batches(batch_size=rows, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: corrupt Parquet file ({_brief(error)})") from error


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
