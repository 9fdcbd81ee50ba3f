"""First pass over the data: kinds, classes and identities of all files, and which row goes where.

Rows are not held. Between the stages a row is its identity and class, 12 bytes (with `group_by`,
`order_by` and `split.key` 8 more each, or 16 where the column is not part of the identity, with
`weight` 4), some 60 bytes while all are assigned in one place. The plan keeps 9 bytes for each key
(none with stable splits), and of repeated rows 8 bytes for each identity and 16 for each kind in
each file.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from ..errors import DataCheckError, ImbalanceError, UserError
from ..hashing import copy_ids
from ..names import ROW_COPY, SPLITS
from . import rare, splits
from .copies import TIES, FirstCopies, class_words, number
from .facts import ColumnFacts, Distinct, Facts, notes
from .files import Format, open_binary
from .kinds import Kind, join
from .notes import Note
from .params import IngestParams, SplitParams
from .rows import Block, FileRows, check_columns, check_name, check_times, in_identity

MAX_CLASSES = 1000
_MOST_POINTS_OFF = 0.005  # of a class's rows, before split.duplicates: auto lets copies part
Copies = Literal["together", "apart"]


@dataclass
class FileScan:
    """What the first pass keeps of one file.

    Attributes:
      path: the file.
      names: columns in their order.
      kinds: column -> kind, joined over the file.
      used: column -> the kinds under which its values were converted.
      times: kind of values of `order_by` -> the first row that has one.
      failed: a value could not be used under the kinds known by then.
      rows: number of rows.
      unlabelled: number of rows without a label, first_unlabelled the first of them, from 0.
      class_names: the classes, in order of appearance.
      counts: int64 [n_classes, 3], rows of each class in each split; stable splits only.
      facts: column -> what is known of its values.
      parts: of the labelled rows in their order: `ids` int64 and `classes` int32; where needed
        `keys` and `times` int64, of stable splits `split` int8; and what orders equal rows, under
        names of copies.TIES.
    """

    path: str
    names: list[str] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    used: dict[str, set[Kind]] = field(default_factory=dict)
    times: dict[Kind, str] = field(default_factory=dict)
    failed: bool = False
    rows: int = 0
    unlabelled: int = 0
    first_unlabelled: int = 0
    class_names: list[str] = field(default_factory=list)
    counts: np.ndarray | None = None
    facts: dict[str, ColumnFacts] = field(default_factory=dict)
    parts: dict[str, np.ndarray] = field(default_factory=dict)


class Summary(BaseModel):
    """What the first pass found, in figures."""

    rows: int
    unlabelled: int
    classes: list[str]
    """Sorted by name."""
    kinds: dict[str, Kind]
    counts: dict[str, dict[str, int]]
    """split -> class -> labelled rows."""
    deviation: dict[str, dict[str, float]]
    """split -> class -> rows more (or, negative, fewer) than its share of the class."""
    copies: Copies = "together"
    """Whether rows of one identity were kept in one split."""
    rare_classes: dict[str, str | None] = {}
    """Class of the source -> the class that its rows got; None where they were dropped."""
    notes: list[Note] = []
    """What people should know of the data."""


@dataclass
class Plan:
    """Where each row goes.

    Attributes:
      summary: counts.
      keys: int64 [k], sorted distinct keys; empty for stable splits.
      split: int8 [k], the split of each key.
      files: paths of the files that have rows with a label, sorted.
      copies: the numbers of equal rows, by file.
    """

    summary: Summary
    keys: np.ndarray
    split: np.ndarray
    files: list[str]
    copies: FirstCopies

    def splits_of(self, keys: np.ndarray, params: IngestParams) -> np.ndarray:
        """int8 [n]: the split of each row by its key.

        Raises:
          RuntimeError: a key was not there in the first pass.
        """
        if params.order_by is None and params.split.mode == "stable":
            return splits.stable(keys, _shares(params.split), params.seed)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        if not np.array_equal(self.keys[at], keys):
            raise RuntimeError("the data changed while they were being read; run again")
        return self.split[at]

    def to_bytes(self) -> bytes:
        """All of it, for a file that the second pass reads."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            summary=self.summary.model_dump_json(),
            keys=self.keys,
            split=self.split,
            files=json.dumps(self.files),
            **vars(self.copies),
        )
        return buffer.getvalue()

    @classmethod
    def load(cls, path: str) -> "Plan":
        """Reads `to_bytes` back from a file."""
        with open_binary(path) as file:
            stored = np.load(io.BytesIO(file.read()))
        summary = Summary.model_validate_json(str(stored["summary"]))
        copies = FirstCopies(*(stored[part.name] for part in fields(FirstCopies)))
        files = json.loads(str(stored["files"]))
        return cls(summary, stored["keys"], stored["split"], files, copies)


class Assignment:
    """Says of the rows of one file, read block by block, which copy each is and where it goes."""

    def __init__(self, plan: Plan, path: str, params: IngestParams) -> None:
        self._plan, self._params = plan, params
        known = path in plan.files
        self._counter = plan.copies.counter(plan.files.index(path)) if known else None

    def assign(self, block: Block) -> tuple[pa.RecordBatch, np.ndarray]:
        """Columns of the block's labelled rows, `_row_copy` among them, and their splits int8.

        Raises:
          RuntimeError: the rows are not those of the first pass.
        """
        if becomes := self._plan.summary.rare_classes:
            block = rare.block_after(block, becomes, self._params.label)
        columns, classes, ids, keys = block.columns, block.classes, block.ids, block.keys
        ties = block.ties
        if classes.null_count:
            labelled = np.asarray(classes.is_valid())
            columns, classes = columns.filter(pa.array(labelled)), classes.drop_null()
            ids, keys = ids[labelled], keys[labelled]
            ties = {name: tie[labelled] for name, tie in ties.items()}
        copies = np.zeros(len(ids), np.int64)
        if self._counter and len(ids):
            copies = self._counter.number(ids, class_words(classes), ties)
        columns = pa.RecordBatch.from_arrays(
            [*columns.columns, pa.array(copies)], names=[*columns.schema.names, ROW_COPY]
        )
        if self._plan.summary.copies == "apart":
            keys = keys_apart(keys, ids, copies)
        return columns, self._plan.splits_of(keys, self._params)


def scan_file(
    path: str,
    file_format: Format,
    params: IngestParams,
    kinds: Mapping[str, Kind] | None = None,
    *,
    all_facts: bool = False,
) -> FileScan:
    """Scans one file, under the final kinds of its columns or under those found on the way.

    The facts are those of what notes are about; of all columns, with texts of values, where
    `all_facts` is set.

    In the second case a value that cannot be used is no error yet, but sets `failed`: under the
    final kinds it may be text.

    Raises:
      UserError: the file, or (with final kinds) a value of it, cannot be used.
    """
    rows = FileRows(path, file_format, params, kinds)
    facts = Facts(params, len(rows.header or ()), is_csv=file_format == "csv", everything=all_facts)
    scan = FileScan(path, rows.header or [], rows.kinds, rows.used, rows.times, facts=facts.columns)
    index: dict[str, int] = {}
    blocks: list[dict[str, np.ndarray]] = []
    for first_row, batch in rows.batches():
        if rows.header is None:
            scan.names = list(dict.fromkeys([*scan.names, *batch.schema.names]))
        scan.rows = first_row + batch.num_rows
        rows.learn(batch)
        if scan.failed:
            continue
        try:
            blocks.append(_kept(rows.convert(first_row, batch, facts), scan, index, params))
        except UserError:
            if kinds is not None:
                raise
            scan.failed = True
    scan.class_names = list(index)
    parts = {k: np.concatenate([b[k] for b in blocks]) for k in (blocks[0] if blocks else ())}
    if params.split.mode == "stable" and blocks:
        keys = parts.pop("keys", parts["ids"])
        split = splits.stable(keys, _shares(params.split), params.seed)
        cells = np.bincount(parts["classes"] * len(SPLITS) + split, minlength=len(index) * 3)
        scan.counts = cells.reshape(-1, len(SPLITS))
        parts["split"] = split
    scan.parts = parts
    return scan


def check_scans(scans: Sequence[FileScan], file_format: Format, params: IngestParams) -> None:
    """Checks what all files have together.

    Raises:
      UserError: there are no rows, no column of a name in `params`, a file that declares its
        columns lacks one that another has, or times of one have an offset and of another none.
    """
    if not any(scan.rows for scan in scans):
        raise UserError(f"{_where(scans)}: no rows, at most a header; add data")
    names = list(dict.fromkeys(name for scan in scans for name in scan.names))
    check_columns(_where(scans), names, params)
    known = set(names)
    for name in params.exclude:
        if name not in known:
            check_name(_where(scans), names, "data.exclude", name)
    excluded = set(params.exclude)
    for scan in scans if file_format != "tfrecord" else ():
        has = {*scan.names, *excluded}
        if missing := [n for n in names if n not in has]:
            other = next(s for s in scans if missing[0] in s.names)
            raise UserError(
                f"{scan.path}: no column {missing[0]!r}, which {other.path} has; give all files "
                "the same columns or exclude it"
            )
    times: dict[Kind, str] = {}
    for scan in sorted(scans, key=lambda s: s.path):
        times = {**scan.times, **times}
    check_times(times, params)


def join_kinds(scans: Sequence[FileScan], file_format: Format) -> dict[str, Kind]:
    """The kinds of the columns over all files.

    Raises:
      UserError: files that declare types declare different ones.
    """
    kinds: dict[str, Kind] = {}
    source: dict[str, str] = {}
    for scan in sorted(scans, key=lambda s: s.path):
        for name, kind in scan.kinds.items():
            known = kinds.get(name, Kind.NULL)
            kinds[name] = join(known, kind)
            widens = file_format == "csv" or (file_format, kinds[name]) == ("parquet", Kind.FLOAT)
            if not widens and Kind.NULL not in (known, kind) and known is not kind:
                raise UserError(
                    f"column {name!r} holds {known.value} values in {source[name]} and "
                    f"{kind.value} values in {scan.path}; give it one type"
                )
            if kind is not Kind.NULL:
                source.setdefault(name, scan.path)
    return kinds


def join_facts(scans: Sequence[FileScan]) -> dict[str, ColumnFacts]:
    """column -> what is known of its values over all files."""
    joined: dict[str, ColumnFacts] = {}
    for scan in scans:
        for name, facts in scan.facts.items():
            if name not in joined:
                joined[name] = ColumnFacts(distinct=Distinct(facts.distinct.limit))
            joined[name].merge(facts)
    return joined


def is_settled(scan: FileScan, kinds: Mapping[str, Kind]) -> bool:
    """Whether the file was converted under the final kinds throughout."""
    if scan.failed:
        return False
    # Under NULL there were null values alone, which stay so in any column but one of text.
    harmless = {name: set() if k is Kind.TEXT else {Kind.NULL} for name, k in kinds.items()}
    return all(used - harmless[name] <= {kinds[name]} for name, used in scan.used.items())


def make_plan(scans: Sequence[FileScan], kinds: Mapping[str, Kind], params: IngestParams) -> Plan:
    """Assigns all rows to splits.

    Args:
      scans: one of each file, under the final kinds.
      kinds: column -> its final kind.
      params: what the user said.

    Raises:
      UserError: one class, too many, or too few rows to split.
      DataCheckError: rows without a label, unless they are to be dropped.
    """
    scans = sorted(scans, key=lambda s: s.path)
    rows = sum(scan.rows for scan in scans)
    unlabelled = sum(scan.unlabelled for scan in scans)
    if unlabelled and params.unlabelled == "error":
        first = next(scan for scan in scans if scan.unlabelled)
        raise DataCheckError(
            f"label column {params.label!r}: {unlabelled:,} of {rows:,} rows have no label, the "
            f"first is row {first.first_unlabelled + 1} of {first.path}; label them, or set "
            "data.unlabelled: drop"
        )
    found_counts = _class_counts(scans)
    becomes = rare.becomes_of(found_counts, params)
    if becomes:
        scans = [rare.scan_after(scan, becomes) for scan in scans]
    names = sorted({name for scan in scans for name in scan.class_names})
    check_class_count(len(names), params.label)
    if len(names) < 2:
        found = f"only one class, {names[0]!r}" if names else "no labelled row"
        raise UserError(
            f"label column {params.label!r} of {_where(scans)}: {found}; two are needed at least"
        )
    index = {name: i for i, name in enumerate(names)}
    scans = [scan for scan in scans if scan.class_names]
    classes = [
        np.array([index[n] for n in s.class_names], np.int32)[s.parts["classes"]] for s in scans
    ]
    tied = [{name: s.parts[name] for name in TIES if name in s.parts} for s in scans]
    numbers, copies = number([s.parts["ids"] for s in scans], classes, names, tied)
    kept: Copies = "together"
    told = [rare.note(found_counts, becomes, params)] if becomes else []
    told += notes(join_facts(scans), params.label)
    if params.split.mode == "stable":
        counts = np.zeros((len(names), len(SPLITS)), dtype=np.int64)
        for scan in scans:
            if scan.counts is not None:
                counts[[index[name] for name in scan.class_names]] += scan.counts
        keys = split = np.zeros(0, np.int64)
        told += _stable_parting(scans, params)
    else:
        parts: dict[str, np.ndarray] = {"classes": np.concatenate(classes)}
        for part in ("ids", "keys", "times"):
            if part in scans[0].parts:
                parts[part] = np.concatenate([scan.parts[part] for scan in scans])
        if params.order_by is not None:
            each = np.arange(len(parts["times"]))
            in_time = splits.temporal(each, parts["times"], _shares(params.split))
            if in_time is not None:  # else `_assign` refuses the times
                parts["in_time"] = in_time
        assigned = _assign(parts, numbers, names, params)
        keys, split, kept = assigned.keys, assigned.split, assigned.copies
        counts = _counts(parts["classes"], assigned.rows)
        if kept == "apart" and params.split.duplicates == "auto":
            told.append(_parting(_parted(parts["ids"], assigned.rows), params))
        told += _out_of_time(assigned, parts, params)
    if (empty := counts.sum(axis=0) == 0).any():
        raise UserError(
            f"split.{SPLITS[int(np.argmax(empty))]}: no row falls in this split; {rows:,} rows are "
            "too few for these shares"
        )
    summary = Summary(
        rows=rows,
        unlabelled=unlabelled,
        classes=names,
        kinds=dict(kinds),
        counts=_table(names, counts),
        deviation=_table(names, np.round(splits.deviations(counts, _shares(params.split)), 2)),
        copies=kept,
        rare_classes=becomes,
        notes=told,
    )
    return Plan(summary, keys, split.astype(np.int8), [scan.path for scan in scans], copies)


def _parting(rows: int, params: IngestParams) -> Note:
    missed = "the splits would miss their shares of a class by more than 0.5 points"
    if params.order_by is not None:
        missed = "more than 0.5% of the rows would miss the split of their time"
    return Note(
        name="duplicates_apart",
        message=f"{rows:,} rows have an equal row in another split: with equal rows together "
        f"{missed}; if equal rows are copies of one event, set split.duplicates: together",
    )


def _stable_parting(scans: Sequence[FileScan], params: IngestParams) -> list[Note]:
    """What groups make of equal rows where each goes by its own hash.

    Raises:
      UserError: equal rows are in different splits, but the user said that they must not.
    """
    if params.group_by is None:
        return []
    ids, split = (np.concatenate([scan.parts[name] for scan in scans]) for name in ("ids", "split"))
    if not (rows := _parted(ids, split)):
        return []
    found = (
        f"{rows:,} rows have an equal row in another split, in another group of "
        f"{params.group_by!r}: with split.mode: stable each group goes by itself"
    )
    if params.split.duplicates == "together":
        raise UserError(
            f"split.duplicates: together cannot be kept: {found}; set split.duplicates: auto, or "
            "split.mode: exact, which unites such groups"
        )
    return [
        Note(
            name="duplicates_apart",
            message=f"{found}; if equal rows are copies of one event, set split.mode: exact, which "
            "unites such groups",
        )
    ]


def _out_of_time(
    found: "_Assigned", parts: Mapping[str, np.ndarray], params: IngestParams
) -> list[Note]:
    """What staying together makes of a split by time."""
    if params.order_by is None:
        return []
    misplaced = int((parts["in_time"] != found.rows).sum())
    if misplaced <= _allowed(len(found.rows)):
        return []
    units = f"groups of {params.group_by!r}" if params.group_by else "equal rows"
    advice = "" if params.group_by else ", set split.duplicates: apart where they need not"
    return [
        Note(
            name="rows_out_of_time",
            column=params.order_by,
            message=f"{misplaced:,} of {len(found.rows):,} rows are not in the split of their time "
            f"by {params.order_by!r}: {units} stay together and are as old as their oldest row, so "
            f"train has rows newer than some of val's and test's{advice}",
        )
    ]


def _allowed(rows: int) -> float:
    """Rows that may miss their split before `split.duplicates: auto` lets copies part."""
    return max(_MOST_POINTS_OFF * rows, 1)


def _class_counts(scans: Sequence[FileScan]) -> dict[str, int]:
    """Class -> rows, over all files."""
    counts: dict[str, int] = {}
    for scan in scans:
        if scan.counts is not None:
            rows = scan.counts.sum(axis=1)
        else:
            codes = scan.parts.get("classes", np.zeros(0, np.int32))
            rows = np.bincount(codes, minlength=len(scan.class_names))
        for name, count in zip(scan.class_names, rows.tolist(), strict=True):
            counts[name] = counts.get(name, 0) + count
    return counts


def dump_result(result: Plan | ImbalanceError) -> bytes:
    """A plan, or the error that there is instead, as the content of a file."""
    if isinstance(result, Plan):
        return result.to_bytes()
    return json.dumps({"error": type(result).__name__, "message": str(result)}).encode()


def load_result(path: str) -> Plan:
    """Reads `dump_result` back.

    Raises:
      UserError, DataCheckError: as it was dumped.
    """
    with open_binary(path) as file:
        head = file.read(1)
        if head == b"{":
            stored = json.loads(head + file.read())
            known = {cls.__name__: cls for cls in (UserError, DataCheckError)}
            raise known[stored["error"]](*stored["message"].split("\n"))
    return Plan.load(path)


def _kept(
    block: Block, scan: FileScan, index: dict[str, int], params: IngestParams
) -> dict[str, np.ndarray]:
    """What is kept of a block's labelled rows; adds to the scan's counts and to `index`."""
    labelled = np.asarray(pc.is_valid(block.classes))
    if missing := len(labelled) - int(labelled.sum()):
        if not scan.unlabelled:
            scan.first_unlabelled = block.first_row + int(np.argmin(labelled))
        scan.unlabelled += missing
    encoded = block.classes.dictionary_encode()
    order = [index.setdefault(name, len(index)) for name in encoded.dictionary.to_pylist()]
    check_class_count(len(index), params.label)
    code = np.asarray(encoded.indices.drop_null())
    parts = {name: tie[labelled] for name, tie in block.ties.items()}
    parts |= {"ids": block.ids[labelled], "classes": np.array(order, np.int32)[code]}
    if params.group_by is not None:
        parts["keys"] = block.keys[labelled]
    if block.times is not None:
        parts["times"] = block.times[labelled]
    return parts


@dataclass
class _Assigned:
    """A way to assign all rows: distinct keys [k], the split [k] of each, and of each row [n]."""

    keys: np.ndarray
    split: np.ndarray
    rows: np.ndarray
    copies: Copies


def _assign(
    parts: Mapping[str, np.ndarray],
    copies: np.ndarray,
    names: list[str],
    params: IngestParams,
) -> _Assigned:
    """Keeps copies together or not, as `split.duplicates` says."""
    if params.split.duplicates != "auto":
        return _assigned(parts, copies, names, params, params.split.duplicates)
    if params.split.key:  # rows of one key are told apart by all features, and so by a new column
        return _assigned(parts, copies, names, params, "together")
    try:
        together = _assigned(parts, copies, names, params, "together")
    except UserError:
        if not copies.any():
            raise
        return _assigned(parts, copies, names, params, "apart")
    missed = _missed(together, parts, params)
    if missed <= 1 or not copies.any():
        return together
    apart = _assigned(parts, copies, names, params, "apart")
    return apart if _missed(apart, parts, params) < missed else together


def _missed(found: _Assigned, parts: Mapping[str, np.ndarray], params: IngestParams) -> float:
    """How far shares are missed, 1 being as far as `split.duplicates: auto` puts up with.

    They are the classes' shares; where time assigns the rows, which knows no classes, all rows'
    and how many are not in the split of their time.
    """
    counts = _counts(parts["classes"], found.rows)
    if params.order_by is None:
        return splits.worst_miss(counts, _shares(params.split), _MOST_POINTS_OFF, 1)
    counts = counts.sum(axis=0, keepdims=True)
    shares = splits.worst_miss(counts, _shares(params.split), _MOST_POINTS_OFF, 1)
    misplaced = int((parts["in_time"] != found.rows).sum())
    return max(shares, misplaced / _allowed(len(found.rows)))


def _assigned(
    parts: Mapping[str, np.ndarray],
    copies: np.ndarray,
    names: list[str],
    params: IngestParams,
    how: Copies,
) -> _Assigned:
    ids, classes = parts["ids"], parts["classes"]
    of_rows = parts.get("keys", ids)
    shares = _shares(params.split)
    # Rows of one identity may be in several groups where the group is not part of it.
    links = None if in_identity(params.group_by, params) else ids
    if how == "apart":
        of_rows, links = keys_apart(of_rows, ids, copies), None
    keys, unit = splits.units_of(of_rows, links)
    units = unit[np.searchsorted(keys, of_rows)]
    if params.order_by is not None:
        by_unit = splits.temporal(units, parts["times"], shares)
        if by_unit is None:
            raise UserError(
                f"data.order_by: column {params.order_by!r} has fewer than 3 distinct values over "
                "what must stay together; no cut into train, val and test exists"
            )
    else:
        _check_class_sizes(units, classes, names, params)
        priority = splits.unit_priority(keys, unit, params.seed)
        by_unit = splits.exact(units, priority, classes, len(names), shares)
    return _Assigned(keys, by_unit[unit], by_unit[units], how)


def keys_apart(keys: np.ndarray, ids: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """int64 [n]: keys where copies may part; those of groups stay."""
    return np.where(keys == ids, copy_ids(ids, copies), keys)


def _parted(ids: np.ndarray, split: np.ndarray) -> int:
    """Number of rows that have a row of their identity in another split."""
    order = np.argsort(ids, kind="stable")
    ids, split = ids[order], split[order]
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
    mixed = np.minimum.reduceat(split, starts) != np.maximum.reduceat(split, starts)
    return int(np.diff([*starts, len(ids)])[mixed].sum())


def _counts(classes: np.ndarray, split: np.ndarray) -> np.ndarray:
    """int64 [n_classes, 3], rows of each class in each split."""
    cells = classes.astype(np.int64) * len(SPLITS) + split
    size = (int(classes.max()) + 1) * len(SPLITS)
    return np.bincount(cells, minlength=size).reshape(-1, len(SPLITS))


def _check_class_sizes(
    units: np.ndarray, classes: np.ndarray, names: list[str], params: IngestParams
) -> None:
    rows = np.bincount(classes, minlength=len(names))
    pairs = np.unique(units * len(names) + classes)
    distinct = np.bincount(pairs % len(names), minlength=len(names))
    for which in np.argsort(distinct, kind="stable"):
        if distinct[which] >= len(SPLITS):
            break
        count, limit = f"{rows[which]:,} row{'s' if rows[which] > 1 else ''}", rows[which] + 1
        if distinct[which] < rows[which]:
            what = "groups" if params.group_by else "different rows"
            count += f", but only {distinct[which]} {what} that could go to different splits"
        raise UserError(
            f"label column {params.label!r}: class {names[which]!r} has {count}; train, val and "
            "test need one each: add rows, or set data.rare_classes: drop, or data.rare_classes: "
            f"{{merge: NAME}}, for classes of fewer than {max(params.min_class_rows, limit):,} "
            "rows (data.min_class_rows)"
        )
    smallest = int(np.argmin(rows))
    if rows[smallest] < params.min_class_rows:
        raise UserError(
            f"label column {params.label!r}: class {names[smallest]!r} has {rows[smallest]:,} "
            f"rows, fewer than data.min_class_rows ({params.min_class_rows:,}): add rows, or set "
            "data.rare_classes: drop or {merge: NAME}"
        )


def check_class_count(count: int, label: str) -> None:
    """Raises UserError where a label has too many different values to be one."""
    if count > MAX_CLASSES:
        raise UserError(
            f"label column {label!r} has more than {MAX_CLASSES:,} different values: it looks like "
            "an id or a number to predict (regression is not supported); choose another column"
        )


def _shares(params: SplitParams) -> splits.Shares:
    return (params.train, params.val, params.test)


def _table(names: Sequence[str], cells: np.ndarray) -> dict[str, dict[str, Any]]:
    """split -> class -> cell."""
    return {
        split: dict(zip(names, cells[:, i].tolist(), strict=True)) for i, split in enumerate(SPLITS)
    }


def _where(scans: Sequence[FileScan]) -> str:
    first = min(scan.path for scan in scans)
    return first if len(scans) == 1 else f"{len(scans)} files such as {first}"
