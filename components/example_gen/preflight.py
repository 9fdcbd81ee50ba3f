"""A fast look at the data before any work: what is there, and mistakes that show at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from . import sources
from .files import Format, format_of, newest_files
from .kinds import Kind, is_list, kind_of_text, lengths, typed
from .params import IngestParams
from .plan import FileScan, check_class_count, check_scans, join_kinds
from .rare import becomes_of, merged_counts
from .rows import Block, FileRows, check_params, class_names, label_values

SAMPLE_ROWS = 10_000
_SHOWN = 5
_MANY = 10_000  # different labels, after which no more are read

Role = Literal["feature", "label", "weight"]


@dataclass(frozen=True)
class Column:
    """One column that the examples will have, as far as the sampled rows tell.

    Attributes:
      role: what it is used for.
      kind: kind of its values in the source; Kind.NULL where the sample has none.
      feature: the tf.Example feature it becomes; always bytes for the label, float for the weight.
      distinct: number of different values.
      missing: share of rows without a value, in [0, 1].
      values: some values as text, the most frequent first.
    """

    role: Role
    kind: Kind
    feature: Literal["int", "float", "bytes"]
    distinct: int
    missing: float
    values: tuple[str, ...]


@dataclass(frozen=True)
class DataInfo:
    """What a look at the data tells.

    Attributes:
      files: the data files.
      format: their format.
      rows: number of all rows.
      sampled: number of rows, from the start of the files, that `columns` is about.
      columns: name -> column, in the order of the first file, `exclude` left out.
      class_counts: class -> rows, of all rows, the most frequent first; rare classes as the config
        has them.
      unlabelled: number of rows without a label, of all rows.
    """

    files: tuple[str, ...]
    format: Format
    rows: int
    sampled: int
    columns: dict[str, Column]
    class_counts: dict[str, int]
    unlabelled: int

    @property
    def n_classes(self) -> int:
        """Number of classes in all rows."""
        return len(self.class_counts)


def inspect(path: str, params: IngestParams, rows: int = SAMPLE_ROWS) -> DataInfo:
    """Looks at the headers of all files, at the first rows, and at all rows' label.

    Args:
      path: of a file, a folder or a glob; placeholders stand for the newest span and version.
      params: what the user says about the data.
      rows: number of rows to sample.

    Raises:
      UserError: a mistake that shows there. Rows without a label, and classes too few or too
        small, are counted here and left to the ingest to refuse.
    """
    check_params(params)
    files = newest_files(path)
    file_format = format_of(files, params.format)
    scans: list[FileScan] = []
    samples: list[tuple[FileRows, int, pa.RecordBatch]] = []
    left = rows
    for file in files:
        reader = FileRows(file, file_format, params)
        scan = FileScan(file, list(reader.header or ()), reader.kinds)
        scans.append(scan)
        for first_row, batch in reader.batches() if left else ():
            batch = batch[:left]
            reader.learn(batch)
            scan.names = list(dict.fromkeys([*scan.names, *batch.schema.names]))
            scan.rows += batch.num_rows
            samples.append((reader, first_row, batch))
            left -= batch.num_rows
            if not left:
                break
    kinds = join_kinds(scans, file_format)
    counts = _count_classes(files, file_format, params, kinds.get(params.label, Kind.NULL))
    found, sampled = sum(counts.values()), rows - left
    if file_format != "tfrecord" or found == sampled:
        check_scans(scans, file_format, params)
    if file_format == "parquet":
        _check_types_that_may_not_fit(files, params, kinds)
    blocks = []
    for reader, first_row, batch in samples:
        reader.kinds.update(kinds)
        blocks.append(reader.convert(first_row, batch))
    excluded = set(params.exclude)
    names = dict.fromkeys(n for scan in scans for n in scan.names if n not in excluded)
    unlabelled = counts.pop(None, 0)
    by_class = {name: count for name, count in counts.most_common() if name is not None}
    return DataInfo(
        files=tuple(files),
        format=file_format,
        rows=found,
        sampled=sampled,
        columns={n: _column(n, kinds, blocks, params) for n in names},
        unlabelled=unlabelled,
        class_counts=merged_counts(by_class, becomes_of(by_class, params)),
    )


def _check_types_that_may_not_fit(
    files: Sequence[str], params: IngestParams, kinds: Mapping[str, Kind]
) -> None:
    """Reads all of the columns whose type allows values that no feature can have."""
    passed_over = {params.label, *params.exclude}
    for file in files:
        names = [
            name
            for name, kind in sources.parquet_types(file).items()
            if name not in passed_over and (is_list(kind) or pa.types.is_uint64(kind))
        ]
        if names:
            reader = FileRows(file, "parquet", params, kinds)
            for first_row, batch in reader.batches(names):
                reader.check_values(first_row, batch)


def guess_delimiter(path: str) -> str:
    """The delimiter of a CSV, by its header; a comma where nothing speaks for another."""
    names = sources.column_names(newest_files(path)[0], "csv", "\x1f") or [""]
    return sources.other_delimiter(names) or ","


def _count_classes(
    files: Sequence[str], file_format: Format, params: IngestParams, kind: Kind
) -> Counter[str | None]:
    """Class -> rows; None -> rows without a label. Reads the label column alone."""
    label = params.label
    only: dict[str, str] | None = None if kind is Kind.NULL else {label: kind.feature}
    found: Counter[object] = Counter()
    for file in files:
        read = sources.read(
            file, file_format, params.delimiter, [label], only, params.max_line_bytes
        )
        for batch in read:
            if label not in batch.schema.names:
                found[None] += batch.num_rows
                continue
            values = batch.column(label)
            if file_format != "csv":
                values = label_values(values, kind)
            if is_list(values.type):
                class_names(values, kind, label, f"{file}, row {{}} of a block".format)
            for value, count in zip(*pc.value_counts(values).flatten(), strict=True):
                found[value.as_py()] += count.as_py()
            if len(found) > _MANY:
                break
    unlabelled = found.pop(None, 0)
    values = pa.array(list(found))
    if file_format == "csv" and len(values):
        kind = kind_of_text(values)
        kind = Kind.TEXT if kind in (Kind.TIME, Kind.ZONED) else kind
        values = typed(values, kind)
    names = class_names(values, kind, label, lambda _: files[0])
    check_class_count(len(found) if len(found) > _MANY else 0, label)
    counts: Counter[str | None] = Counter({None: unlabelled})
    for name, count in zip(names.to_pylist(), found.values(), strict=True):
        counts[name] += count
    check_class_count(len(counts) - 1, label)
    return counts


def _column(
    name: str, kinds: Mapping[str, Kind], blocks: Sequence[Block], params: IngestParams
) -> Column:
    kind = kinds.get(name, Kind.NULL)
    parts = [b.columns.column(name) for b in blocks if b.columns.schema.get_field_index(name) >= 0]
    present = sum(
        int((lengths(part) > 0).sum()) if is_list(part.type) else len(part) - part.null_count
        for part in parts
    )
    counted = Counter(
        value
        for part in parts
        for value in (part.flatten() if is_list(part.type) else part.drop_null()).to_pylist()
    )
    rows = sum(block.columns.num_rows for block in blocks)
    role: Role = "feature"
    feature = kind.feature
    if name == params.label:
        role, feature = "label", "bytes"
    elif name == params.weight:
        role, feature = "weight", "float"
    values = tuple(_text(value) for value, _ in counted.most_common(_SHOWN))
    return Column(role, kind, feature, len(counted), 1 - present / max(rows, 1), values)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
