"""A fast look at the data before any work: what is there, and mistakes that show at once."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import sources
from .csv_rows import row_widths
from .facts import ColumnFacts, Facts, look_like_numbers, notes
from .files import Format, format_of, newest_files
from .kinds import Kind, TextFormat, is_list, join, kind_of_label, kind_of_text, label_values, typed
from .notes import Note
from .params import NULL_VALUES, THOUSANDS, IngestParams
from .plan import (
    FileScan,
    check_class_count,
    check_scans,
    is_settled,
    join_facts,
    join_kinds,
    scan_file,
)
from .rare import becomes_of, merged_counts
from .rows import NUMBERS, FileRows, check_params, class_names

SAMPLE_ROWS = 10_000
_SHOWN = 5
_MANY = 10_000  # different labels, after which no more are read
_DELIMITER_ROWS = 50
_MARKERS: Final = (
    *NULL_VALUES,
    *("?", "-", "--", "---", ".", "..", "*", "\\N", "None", "none", "nil", "NaT", "<NA>", "na"),
    *("#DIV/0!", "#VALUE!", "#REF!", "#NULL!", "#NUM!", "n.a.", "N.A.", "Null", "Nan"),
    *("missing", "Missing", "MISSING", "unknown", "Unknown", "UNKNOWN"),
)
"""Texts that usually stand for a missing value."""

Role = Literal["feature", "label", "weight"]


@dataclass(frozen=True)
class Column:
    """One column that the examples will have, as far as the rows looked at tell.

    Attributes:
      role: what it is used for.
      kind: kind of its values in the source; Kind.NULL where there is none.
      feature: the tf.Example feature it becomes; always bytes for the label, float for the weight.
      distinct: number of different values.
      missing: share of rows without a value, in [0, 1].
      values: some values as the source writes them, the most frequent first.
      is_exact: `distinct` is not only how many were counted, and there are more.
      is_unique: no value stands in two rows.
    """

    role: Role
    kind: Kind
    feature: Literal["int", "float", "bytes"]
    distinct: int
    missing: float
    values: tuple[str, ...]
    is_exact: bool = True
    is_unique: bool = False


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
      notes: what a user should know of the data; of `survey` only.
    """

    files: tuple[str, ...]
    format: Format
    rows: int
    sampled: int
    columns: dict[str, Column]
    class_counts: dict[str, int]
    unlabelled: int
    notes: tuple[Note, ...] = ()

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
    names = list(dict.fromkeys(name for scan in scans for name in scan.names))
    facts = Facts(params, len(names), is_csv=file_format == "csv", everything=True)
    for reader, first_row, batch in samples:
        reader.kinds.update(kinds)
        reader.convert(first_row, batch, facts)
    unlabelled = counts.pop(None, 0)
    by_class = {name: count for name, count in counts.most_common() if name is not None}
    return DataInfo(
        files=tuple(files),
        format=file_format,
        rows=found,
        sampled=sampled,
        columns=_columns(names, kinds, facts.columns, sampled, params),
        unlabelled=unlabelled,
        class_counts=merged_counts(by_class, becomes_of(by_class, params)),
    )


def survey(path: str, params: IngestParams) -> DataInfo:
    """As `inspect`, but of all rows, read once or twice, with what there is to tell of them."""
    check_params(params)
    files = newest_files(path)
    file_format = format_of(files, params.format)
    scans = [scan_file(file, file_format, params, all_facts=True) for file in files]
    check_scans(scans, file_format, params)
    kinds = join_kinds(scans, file_format)
    scans = [
        scan
        if is_settled(scan, kinds)
        else scan_file(scan.path, file_format, params, kinds, all_facts=True)
        for scan in scans
    ]
    counts: Counter[str] = Counter()
    for scan in scans:
        if scan.class_names:
            rows = np.bincount(scan.parts["classes"], minlength=len(scan.class_names))
            counts.update(dict(zip(scan.class_names, rows.tolist(), strict=True)))
    check_class_count(len(counts), params.label)
    names = list(dict.fromkeys(name for scan in scans for name in scan.names))
    facts, found = join_facts(scans), sum(scan.rows for scan in scans)
    return DataInfo(
        files=tuple(files),
        format=file_format,
        rows=found,
        sampled=found,
        columns=_columns(names, kinds, facts, found, params),
        unlabelled=sum(scan.unlabelled for scan in scans),
        class_counts=dict(counts.most_common()),
        notes=tuple(notes(facts, params.label)),
    )


def is_csv(path: str) -> bool:
    """Whether the data files are CSV, by name or content."""
    return format_of(newest_files(path)) == "csv"


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
    """The delimiter of a CSV: the one by which its first rows have most fields, all as many.

    Where none does the header decides; a comma where nothing speaks for another.
    """
    file = newest_files(path)[0]
    fields = {
        d: row_widths(file, d, sources.MAX_LINE_BYTES, _DELIMITER_ROWS) for d in sources.DELIMITERS
    }
    even = {d: counts[0] for d, counts in fields.items() if len(set(counts)) == 1}
    best = max(even, key=lambda d: even[d], default="")
    if best and even[best] > 1:
        return best
    names = sources.column_names(file, "csv", "\x1f") or [""]
    return sources.other_delimiter(names) or ","


@dataclass(frozen=True)
class Reading:
    """What the guessed format makes of a cell.

    Attributes:
      text: the cell.
      number: what it is read as.
      other: what it would be by the other decimal, where that fits all columns as well.
    """

    text: str
    number: str
    other: str | None = None


@dataclass(frozen=True)
class CellFormat:
    """How the cells of CSV files seem to be written.

    Attributes:
      decimal, thousands: as in the config.
      formatted: column -> a cell that shows it; of the columns whose numbers depend on it.
      null_values: texts that are missing values in columns of numbers, dates or truth values and
        that are not so by default: text -> cells.
      in_text: column of text -> those of its texts that may mean a missing value.
    """

    decimal: str = "."
    thousands: str | None = None
    formatted: dict[str, Reading] = field(default_factory=dict)
    null_values: dict[str, int] = field(default_factory=dict)
    in_text: dict[str, tuple[str, ...]] = field(default_factory=dict)


def guess_cells(path: str, params: IngestParams) -> CellFormat:
    """Guesses how the numbers and missing values of CSV files are written, from all rows.

    The format is the one that makes most columns one of numbers; `params` says which it may be
    where it names one. A text counts as missing by a list of usual ones, where a column is one of
    numbers, dates or truth values but for it.
    """
    files = newest_files(path)
    formats = _formats(params)
    cells: dict[str, _Cells] = {}
    for file in files:
        header = sources.column_names(file, "csv", params.delimiter, params.max_line_bytes) or []
        passed_over = {params.label, *params.exclude}
        wanted = [name for name in header if name not in passed_over]
        for batch in sources.read(
            file, "csv", params.delimiter, wanted, max_line_bytes=params.max_line_bytes
        ):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                cells.setdefault(name, _Cells(formats)).learn(column)
    # The first of the best: max keeps the order.
    best = max(formats, key=lambda f: sum(c.kinds[f] in NUMBERS for c in cells.values()))
    known = {name: c for name, c in cells.items() if c.kinds[best] not in (Kind.TEXT, Kind.NULL)}
    markers: Counter[str] = Counter()
    for column_cells in known.values():
        markers.update(column_cells.markers)
    return CellFormat(
        decimal=best.decimal,
        thousands=best.thousands,
        formatted=_readings(files, params, {n: c.kinds for n, c in cells.items()}, best),
        null_values={m: n for m, n in markers.items() if m not in NULL_VALUES},
        in_text={
            name: tuple(sorted(c.markers))
            for name, c in cells.items()
            if c.kinds[best] is Kind.TEXT and c.markers
        },
    )


def _readings(
    files: Sequence[str],
    params: IngestParams,
    kinds: Mapping[str, Mapping[TextFormat, Kind]],
    best: TextFormat,
) -> dict[str, Reading]:
    """A cell of each column that `best` reads otherwise than the plain format, or one as good."""

    def numbers(text_format: TextFormat) -> set[str]:
        return {name for name, of in kinds.items() if of[text_format] in NUMBERS}

    plain, *_ = formats = _formats(params)
    others = [f for f in formats if f.decimal != best.decimal and numbers(f) == numbers(best)]
    compared = others if best == plain else [plain]
    if best == plain and params.delimiter == ",":
        compared = []  # else it were doubted that 1.250 is one and a quarter
    wanted = {
        name
        for name in numbers(best)
        if any({kinds[name][best], kinds[name][f]} - {Kind.INT, Kind.BOOL} for f in compared)
    }
    found: dict[str, Reading] = {}
    separators = (".," if best.decimal == "," or best == plain else "") + (best.thousands or "")
    for file in files:
        if len(found) == len(wanted):
            break
        header = sources.column_names(file, "csv", params.delimiter, params.max_line_bytes) or []
        names = [name for name in header if name in wanted]
        for batch in sources.read(
            file, "csv", params.delimiter, names, max_line_bytes=params.max_line_bytes
        ):
            for name in wanted.intersection(batch.schema.names) - set(found):
                cells = batch.column(name)
                cells = cells.filter(pc.match_substring_regex(cells, rf"(?:^|\d)[{separators}]\d"))
                if len(cells):
                    found[name] = _reading(cells[0].as_py(), best, others)
            if len(found) == len(wanted):
                break
    in_order = {name: found[name] for name in kinds if name in found}
    return {n: r for n, r in in_order.items() if r.other is not None or best != plain}


def _reading(cell: str, best: TextFormat, others: Sequence[TextFormat]) -> Reading:
    def number(text_format: TextFormat) -> str:
        text = pa.array([cell])
        return str(typed(text, kind_of_text(text, Kind.NULL, text_format), text_format)[0].as_py())

    chosen = number(best)
    other = next((text for f in others if (text := number(f)) != chosen), None)
    return Reading(cell, chosen, other)


class _Cells:
    """What a column's cells are in each of some formats, usual texts of missing values aside."""

    def __init__(self, formats: Sequence[TextFormat]) -> None:
        self.kinds = dict.fromkeys(formats, Kind.NULL)
        self.markers: Counter[str] = Counter()

    def learn(self, column: pa.Array) -> None:
        """Adds a block's cells, string [n]."""
        text = column.drop_null()
        if not len(text):
            return
        trimmed = pc.utf8_trim_whitespace(text)
        is_marker = pc.is_in(trimmed, value_set=pa.array([*_MARKERS]))
        if pc.any(is_marker).as_py():
            for pair in pc.value_counts(trimmed.filter(is_marker)).to_pylist():
                self.markers[pair["values"]] += pair["counts"]
            text = text.filter(pc.invert(is_marker))
        if any(kind is not Kind.TEXT for kind in self.kinds.values()):
            for cell_format, kind in _kinds(text, list(self.kinds)).items():
                self.kinds[cell_format] = join(self.kinds[cell_format], kind)


def _kinds(text: pa.Array, formats: Sequence[TextFormat]) -> dict[TextFormat, Kind]:
    """The kind of cells, string [n], in each of the formats of `_formats`; a look at each is slow.

    No cell is null or a missing value.
    """
    first, *others = formats
    kind = kind_of_text(text, Kind.NULL, first)
    if kind is Kind.INT or (kind is not Kind.FLOAT and not look_like_numbers(text).any()):
        return dict.fromkeys(formats, kind)
    kinds: dict[TextFormat, Kind] = {first: kind}
    for other in others:
        # What is a number without separators of thousands is the same one where they may be.
        plain = kinds.get(dataclasses.replace(other, thousands=None))
        if plain is None or (
            plain not in (Kind.INT, Kind.FLOAT)
            and pc.any(pc.match_substring(text, other.thousands)).as_py()
        ):
            plain = kind_of_text(text, Kind.NULL, other)
        kinds[other] = plain
    return kinds


def _formats(params: IngestParams) -> list[TextFormat]:
    """Formats to try, the plain one first, then the likelier one of two that read the same."""
    wanted = params.model_fields_set
    pairs = [(d, t) for d in ".," for t in (None, *THOUSANDS) if d != t]
    # Where fields end with a semicolon, a comma is rather a decimal one.
    first = [(",", None), (",", ".")] if params.delimiter == ";" else [(".", ",")]
    pairs.sort(key=lambda pair: (pair != (".", None), pair not in first))
    return [
        TextFormat(decimal, thousands, NULL_VALUES)
        for decimal, thousands in pairs
        if (decimal == params.decimal or "decimal" not in wanted)
        and (thousands == params.thousands or "thousands" not in wanted)
    ]


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
        kind = kind_of_label(values)
        values = label_values(values, kind)
    names = class_names(values, kind, label, lambda _: files[0])
    check_class_count(len(found) if len(found) > _MANY else 0, label)
    counts: Counter[str | None] = Counter({None: unlabelled})
    for name, count in zip(names.to_pylist(), found.values(), strict=True):
        counts[name] += count
    check_class_count(len(counts) - 1, label)
    return counts


def _columns(
    names: Sequence[str],
    kinds: Mapping[str, Kind],
    facts: Mapping[str, ColumnFacts],
    rows: int,
    params: IngestParams,
) -> dict[str, Column]:
    excluded = set(params.exclude)
    return {
        name: _column(
            name, kinds.get(name, Kind.NULL), facts.get(name, ColumnFacts()), rows, params
        )
        for name in names
        if name not in excluded
    }


def _column(name: str, kind: Kind, facts: ColumnFacts, rows: int, params: IngestParams) -> Column:
    role: Role = "feature"
    feature = kind.feature
    if name == params.label:
        role, feature = "label", "bytes"
    elif name == params.weight:
        role, feature = "weight", "float"
    distinct = facts.distinct
    often = np.argsort(-distinct.rows, kind="stable")[:_SHOWN]
    return Column(
        role,
        kind,
        feature,
        len(distinct.rows),
        1 - facts.values / max(rows, 1),
        tuple(distinct.texts[often]) if distinct.texts is not None else (),
        distinct.is_exact,
        bool(len(distinct.rows)) and facts.always_differs,
    )
