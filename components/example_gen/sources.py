"""Readers of CSV, Parquet and TFRecord files of tf.Example: Arrow blocks of thousands of rows."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..compat import forbid_pickled_types
from ..errors import UserError
from . import csv_rows
from .files import Format, is_gzip, open_arrow
from .kinds import Kind, is_list, kind_of_type, lengths

BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 20
_BLOCK_CELLS = 1 << 21
_BLOCK_TEXT = 32 << 20  # bytes
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
      max_line_bytes: that a row may have: a CSV's with the line ends in its quotes, the texts of a
        Parquet file's, a TFRecord's record; what is longer is refused before it fills the memory.

    Yields:
      Batches. From CSV every column is a string column, null where a field is empty; from Parquet
      columns have the file's types; from TFRecord they are lists, null where a feature is absent.

    Raises:
      UserError: the file is cut short, corrupt, ragged or not UTF-8.
    """
    if file_format == "csv":
        return _read_csv(path, delimiter, columns, max_line_bytes)
    if file_format == "parquet":
        return _read_parquet(path, columns, max_line_bytes)
    return _read_tfrecord(path, features, max_line_bytes)


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
    """Opens a Parquet file, columns `coded` as dictionaries.

    Raises UserError where it is none or is cut short.
    """

    def __init__(self, path: str, coded: Sequence[str] = ()) -> None:
        self._path, self._coded = path, coded

    def __enter__(self) -> pq.ParquetFile:
        self._raw = open_arrow(self._path)
        try:
            # Spark's and Impala's old times: nanoseconds would wrap beyond 2262.
            return pq.ParquetFile(
                self._raw, read_dictionary=self._coded, coerce_int96_timestamp_unit="us"
            )
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


def _read_parquet(
    path: str, columns: list[str] | None, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    rows = _block_rows(len(columns or schema.names))
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        rows = max(1, min(rows, _BLOCK_TEXT * group.num_rows // max(1, group.total_byte_size)))
    row = 0
    with _parquet(path, _coded(metadata)) as file:
        try:
            for batch in file.iter_batches(rows, columns=columns):
                for part in _parts(path, row, batch, max_line_bytes):
                    yield _decoded(part, schema)
                row += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: corrupt Parquet file ({_brief(error)})") from error


def _coded(metadata: pq.FileMetaData) -> list[str]:
    """Columns to read as dictionaries: a text takes no memory for each row that repeats it."""
    schema, groups = metadata.schema, range(metadata.num_row_groups)
    return [
        schema.column(i).path
        for i in range(len(schema))
        if schema.column(i).physical_type == "BYTE_ARRAY"
        # Arrow makes no dictionaries of what is coded by differences.
        and not any("DELTA" in str(metadata.row_group(g).column(i).encodings) for g in groups)
    ]


def _parts(
    path: str, first_row: int, batch: pa.RecordBatch, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The batch in parts that have about _BLOCK_TEXT bytes of text when decoded, or one row."""
    texts = [column for column in batch.columns if kind_of_type(column.type) is Kind.TEXT]
    if not any(is_list(column.type) for column in texts):
        most = sum(getattr(column, "dictionary", column).nbytes for column in texts)  # of a row
        if most <= max_line_bytes and most * batch.num_rows <= _BLOCK_TEXT:
            yield batch
            return
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in texts:
        sizes += _text_bytes(column)
    if (long := np.flatnonzero(sizes > max_line_bytes)).size:
        raise UserError(
            f"{path}, row {first_row + long[0] + 1:,}: a row of {sizes[long[0]]:,} bytes, more "
            f"than {max_line_bytes:,}; raise data.max_line_bytes if that is right"
        )
    edges = np.flatnonzero(np.diff(np.cumsum(sizes) // _BLOCK_TEXT)) + 1
    for start, end in itertools.pairwise([0, *edges.tolist(), batch.num_rows]):
        yield batch.slice(start, end - start)


def _text_bytes(column: pa.Array) -> np.ndarray:
    """Bytes of each row's text, int64 [n], in a column of texts, dictionaries or lists of them."""
    if is_list(column.type):
        ends = np.concatenate([[0], np.cumsum(_text_bytes(column.flatten()))])
        return np.diff(ends[np.concatenate([[0], np.cumsum(lengths(column))])])
    if pa.types.is_dictionary(column.type):
        sizes = pc.binary_length(column.dictionary).take(column.indices)
    else:
        sizes = pc.binary_length(column)
    return np.asarray(sizes.fill_null(0)).astype(np.int64)


def _decoded(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the types of its file; nested columns, which nothing takes, without values."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        kind = schema.field(name).type
        if column.type != kind and kind_of_type(column.type) is Kind.TEXT:
            if is_list(column.type):  # what is cast is all that the lists of the batch hold
                column = column.take(pa.array(range(len(column))))
            column = column.cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
        elif column.type != kind and pa.types.is_nested(kind):
            column = pa.nulls(len(column), kind)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _block_rows(columns: int) -> int:
    """The most rows of a block: memory goes by its cells."""
    return max(_LEAST_ROWS, min(65536, _BLOCK_CELLS // max(1, columns)))


def _read_tfrecord(
    path: str, features: dict[str, str] | None, max_line_bytes: int
) -> Iterator[pa.RecordBatch]:
    from ..examples_io import decoder, read_blocks

    decode = decoder(features)
    row = 0
    try:
        for block in read_blocks([path], max_record_bytes=max_line_bytes):
            yield decode.DecodeBatch(list(block))
            row += len(block)
    except UserError as error:
        if error.__cause__ is None:
            raise
        gz = is_gzip(path) and not path.endswith(".gz")
        hint = "a gzipped file's name must end in .gz" if gz else "copy it again"
        reason = _brief(error.__cause__)
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
