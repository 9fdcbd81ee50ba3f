"""One file's rows as features, classes, weights and identities, a block at a time."""

import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UserError
from ..hashing import joint_ids
from ..names import GROUP_ID, ROW_ID, reserved_for
from ..progress import say
from . import sources
from .facts import Facts
from .files import Format, close_names, has_span
from .kinds import (
    LABEL_FORMAT,
    Kind,
    NanInList,
    NotWhole,
    TextFormat,
    as_lists,
    exact_hash,
    feature,
    first_infinite,
    is_list,
    join,
    kind_of_label,
    kind_of_text,
    kind_of_type,
    label_values,
    lengths,
    typed,
    whole_names,
    without_null_values,
)
from .params import IngestParams

NUMBERS = (Kind.BOOL, Kind.INT, Kind.FLOAT)
_TIMES = (Kind.TIME, Kind.ZONED)
_TELL_EVERY = 1_000_000  # rows
_LOW_BITS = np.int64(0x7FFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Block:
    """Some consecutive rows of one file.

    Attributes:
      first_row: number of the block's first row in the file, from 0, a header not counted.
      columns: what is written of the n rows: the features, the label as the class's name, the
        sample weight and `_row_id`; scalars or lists of int64, float32 or large_binary.
      classes: large_string [n], null where a row has no label.
      ids: int64 [n], the rows' identities: of their features alone, or of `split.key`.
      keys: int64 [n], the group's identity where rows are grouped and theirs is known, else `ids`.
      times: int64 [n], values of `order_by` as numbers of the same order; None: there is none.
      ties: what may differ between rows of one identity, under names of copies.TIES, each [n]:
        hash of the group int64, `times`, weight float32, hash of all features int64.
    """

    first_row: int
    columns: pa.RecordBatch
    classes: pa.Array
    ids: np.ndarray
    keys: np.ndarray
    times: np.ndarray | None
    ties: Mapping[str, np.ndarray]


def examples(columns: pa.RecordBatch) -> pa.RecordBatch:
    """`Block.columns` as lists, the form that examples_io.encode takes."""
    lists = [as_lists(column) for column in columns.columns]
    return pa.RecordBatch.from_arrays(lists, names=columns.schema.names)


def check_params(params: IngestParams) -> None:
    """Raises UserError where the columns that `params` names contradict one another."""
    if params.weight == params.label:
        raise UserError(f"data.weight: {params.weight!r} is the label already (data.label)")
    for path, column in (("data.group_by", params.group_by), ("data.order_by", params.order_by)):
        for other, taken in (("data.label", params.label), ("data.weight", params.weight)):
            if column is not None and column == taken:
                raise UserError(f"{path}: {column!r} is used already as {other}")
    for path, column in (("data.label", params.label), ("data.weight", params.weight)):
        if column in params.exclude:
            raise UserError(f"data.exclude: {column!r} is needed as {path}; take it out of there")
    for column in params.split.key:
        for other, taken in (("data.label", params.label), ("data.weight", params.weight)):
            if column == taken:
                raise UserError(
                    f"split.key: {column!r} is used already as {other}; a row's identity is "
                    "that of features, or of columns under data.exclude"
                )
    if len(set(params.split.key)) < len(params.split.key):
        raise UserError(f"split.key: names a column twice ({', '.join(params.split.key)})")
    if params.split.duplicates == "apart" and params.split.mode == "stable":
        raise UserError(
            "split.duplicates: which copy a row is can change with the data that come in, so that "
            "apart would move rows between splits, which split.mode: stable promises not to do; "
            "set auto or together"
        )
    if params.order_by is not None and params.split.mode == "stable":
        raise UserError(
            "split.mode: stable assigns rows by hash, data.order_by by time; leave out one of them"
        )


def in_identity(column: str | None, params: IngestParams) -> bool:
    """Whether rows of one identity have one value in the column; so it is where there is none."""
    if column is None:
        return True
    return column in params.split.key if params.split.key else column not in params.exclude


def check_spans(path: str, params: IngestParams) -> None:
    """Raises UserError where the data come in spans, but rows could change their split."""
    if has_span(path) and params.split.mode != "stable":
        raise UserError(
            f"split.mode: {params.split.mode!r} with spans ({path}) would move rows from "
            "test to train as data come in; set split.mode: stable and no data.order_by"
        )


def check_name(where: str, names: Sequence[str], path: str, name: str) -> None:
    """Raises UserError where the column that the config names at `path` is not among `names`."""
    if name not in names:
        hint = close_names(name, list(names))
        raise UserError(f"{path}: no column {name!r} in {where}; {hint}")


def check_columns(where: str, names: Sequence[str], params: IngestParams) -> None:
    """Checks the columns of one file, or of all, against what `params` names.

    Raises:
      UserError: a name is empty, twice there or reserved, or one of `params` is missing, save
        those under `exclude`, which some files may lack.
    """
    twice = [n for n, count in Counter(names).items() if count > 1 and n not in params.exclude]
    if twice:
        raise UserError(f"{where}: duplicate column {twice[0]!r}; give each column its own name")
    if params.label not in names:
        hint = close_names(params.label, list(names))
        if other := sources.other_delimiter(list(names)):
            hint += f"; the file seems to be delimited by {other!r}: set data.delimiter"
        elif len(names) == 1 and params.label in names[0].split():
            hint += (
                "; its fields seem to stand between blanks: set data.delimiter: ' ' where it is "
                "one each, else write the file with commas"
            )
        raise UserError(f"data.label: no column {params.label!r} in {where}; {hint}")
    others = [("data.weight", params.weight), ("data.group_by", params.group_by)]
    others += [("data.order_by", params.order_by), *(("split.key", n) for n in params.split.key)]
    others += [("data.column_null_values", name) for name in params.column_null_values]
    for path, name in others:
        if name is not None:
            check_name(where, names, path, name)
    excluded = set(params.exclude)
    kept = [name for name in names if name not in excluded]
    if "" in kept:
        raise UserError(
            f"{where}: column {names.index('') + 1} has no name; name it in the header, or list "
            "'' under data.exclude"
        )
    for name in kept:
        if purpose := reserved_for(name):
            raise UserError(
                f"{where}: the column name {name!r} is reserved for {purpose}; rename the column "
                "or list it under data.exclude"
            )
    if not set(kept) - {params.label, params.weight}:
        raise UserError(f"{where}: no feature columns are left beside the label")


def check_times(times: Mapping[Kind, str], params: IngestParams) -> None:
    """Raises UserError where times have an offset in one place and none in another.

    Args:
      times: kind of values of `order_by` -> the first row that has one.
      params: what the user said.
    """
    if {*_TIMES} <= times.keys():
        raise UserError(
            f"data.order_by: column {params.order_by!r} has times with an offset from UTC "
            f"({times[Kind.ZONED]}) and times without ({times[Kind.TIME]}), which have no order; "
            "give all of them an offset, or none"
        )


def text_format(name: str, params: IngestParams) -> TextFormat:
    """How the texts of a CSV's column are read."""
    if name == params.label:
        return LABEL_FORMAT
    own = params.column_null_values.get(name)
    markers = params.null_values if own is None else own
    return TextFormat(params.decimal, params.thousands, markers, own is not None)


def class_names(
    label: pa.Array, kind: Kind, name: str, at: Callable[[int], str] = "row {}".format
) -> pa.Array:
    """Names of the classes in `label_values`.

    Args:
      label: n values.
      kind: their kind.
      name: of the column, for messages.
      at: says where a row is, for messages.

    Returns:
      large_string [n]: integers and whole floats as '3', booleans as 'true' and 'false', text
      without the blanks around it; null where the label is null or blank.

    Raises:
      UserError: the values are no classes.
    """
    if kind is Kind.NULL:
        return pa.nulls(len(label), pa.large_string())
    if is_list(label.type):
        raise _multi_label(name, at(int(np.argmax(lengths(label) > 1))))
    if kind in _TIMES:
        raise UserError(f"label column {name!r} ({at(0)}) holds dates or times, not classes")
    try:
        if kind is Kind.FLOAT:
            label = whole_names(label)
        names = pc.utf8_trim_whitespace(label.cast(pa.large_string()))
    except NotWhole as error:
        row = error.args[0]
        raise UserError(
            f"label column {name!r} ({at(row)}) holds the number {label[row]}, not a "
            "class: regression is not supported; choose another label or bin this one"
        ) from error
    except pa.ArrowInvalid as error:
        raise UserError(f"label column {name!r} ({at(0)} and on): {error}") from error
    empty = pc.equal(names, "").fill_null(False)
    return pc.if_else(empty, pa.scalar(None, pa.large_string()), names)


class FileRows:
    """Reads one file's rows, learning the columns' kinds on the way where they are not given.

    Attributes:
      header: the file's columns; None for TFRecord, whose rows alone tell.
      kinds: column -> its kind, joined over the batches learned so far.
      used: column -> the kinds under which its values were converted.
      times: kind of values of `order_by` -> the first row that has one.
    """

    def __init__(
        self,
        path: str,
        file_format: Format,
        params: IngestParams,
        kinds: Mapping[str, Kind] | None = None,
    ) -> None:
        self._path, self._format, self._params = path, file_format, params
        self._final = kinds is not None
        self._excluded = frozenset(params.exclude)
        self.kinds: dict[str, Kind] = dict(kinds or {})
        self.used: dict[str, set[Kind]] = {}
        self.times: dict[Kind, str] = {}
        self.header = sources.column_names(
            path, file_format, params.delimiter, params.max_line_bytes
        )
        self._columns = None
        if self.header is not None:
            check_columns(path, self.header, params)
            self._columns = [name for name in self.header if self._is_read(name)]

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The file's rows as they are, of all or some columns: (number of the first row, batch).

        Raises:
          UserError: the file cannot be read.
        """
        row = 0
        params = self._params
        read = sources.read(
            self._path,
            self._format,
            params.delimiter,
            self._columns if columns is None else list(columns),
            max_line_bytes=params.max_line_bytes,
        )
        for batch in read:
            if batch.num_rows:
                yield row, batch
            row += batch.num_rows
            if row // _TELL_EVERY > (row - batch.num_rows) // _TELL_EVERY:
                say(f"reading {self._path}: {row:,} rows")

    def learn(self, batch: pa.RecordBatch) -> None:
        """Widens the columns' kinds to those of `batch`, unless they were given.

        Raises:
          UserError: a column's type is not supported, or differs between batches of a file that
            declares types.
        """
        if self._format != "csv":
            self._check_types(batch)
        for name, column in self._read_columns(batch):
            if self._final:
                continue
            known = self.kinds.get(name, Kind.NULL)
            if self._format == "csv":
                is_label = name == self._params.label
                self.kinds[name] = (
                    kind_of_label(column, known)
                    if is_label
                    else kind_of_text(column, known, text_format(name, self._params))
                )
            else:
                self.kinds[name] = self._declared(name, column, known)
            if column.null_count < len(column):
                self.used.setdefault(name, set()).add(self.kinds[name])

    def convert(self, first_row: int, batch: pa.RecordBatch, facts: Facts | None = None) -> Block:
        """Converts a batch that was learned, or whose kinds were given; `facts` learns its values.

        Raises:
          UserError: a value cannot be used: infinite, a bad label, weight or time.
        """
        params = self._params
        passed_over = {params.label, *params.exclude}
        source = dict(self._read_columns(batch))
        columns = {
            name: column
            if self._is_bare_key(name) and pa.types.is_integer(column.type)
            else self._typed(first_row, name, column)
            for name, column in source.items()
        }
        if facts is not None:
            for name, column in columns.items():
                if name not in self._excluded:
                    facts.learn(name, self.kinds.get(name, Kind.NULL), source[name], column)
        features = [
            name
            for name in columns
            if name not in passed_over and self.kinds[name] is not Kind.NULL
        ]
        values = {name: self._feature(first_row, name, columns[name]) for name in features}
        weight = values.pop(params.weight, None) if params.weight else None
        if params.weight:
            weight = self._weight(first_row, weight, batch.num_rows)
        needed = {*values, *params.split.key, params.group_by}
        hashed = {
            name: exact_hash(source[name], column, text_format(name, params))
            for name, column in columns.items()
            if name in needed
        }
        ids = content = joint_ids(list(values), (hashed[n] for n in values), batch.num_rows)
        for key_name in hashed.keys() & {*params.split.key, params.group_by}:  # a blank is no key
            hashed[key_name] = np.where(_blank(columns[key_name]), np.uint64(0), hashed[key_name])
        if key := [name for name in params.split.key if name in hashed]:
            known = np.any([hashed[name] != 0 for name in key], axis=0)
            by_key = joint_ids(key, (hashed[name] for name in key), batch.num_rows)
            ids = np.where(known, by_key, content)  # a row without a key is only itself
        keys, times = ids, None
        if params.group_by is not None and params.group_by in hashed:
            group = hashed[params.group_by].view(np.int64)
            keys = np.where(group == 0, ids, group)
        if params.order_by is not None:
            nothing = pa.nulls(batch.num_rows)
            is_zoned = getattr(source.get(params.order_by, nothing).type, "tz", None) is not None
            times = self._times(first_row, columns.get(params.order_by, nothing), is_zoned)
        ties: dict[str, np.ndarray] = {}
        if not in_identity(params.group_by, params):
            ties["group"] = keys
        if times is not None and not in_identity(params.order_by, params):
            ties["time"] = times
        if weight is not None:
            ties["weight"] = np.asarray(weight)
        if params.split.key:
            ties["content"] = content
        label = columns.get(params.label, pa.nulls(batch.num_rows))
        at = partial(self._at, first_row)
        classes = class_names(label, self.kinds.get(params.label, Kind.NULL), params.label, at)
        values[params.label] = classes.cast(pa.large_binary())
        if weight is not None and params.weight:
            values[params.weight] = weight
        values[ROW_ID] = pa.array(ids)
        if params.group_by is not None:
            values[GROUP_ID] = pa.array(keys)
        written = _record_batch(values, batch.num_rows)
        return Block(first_row, written, classes, ids, keys, times, ties)

    def _is_read(self, name: str) -> bool:
        params = self._params
        needed = (params.group_by, params.order_by, *params.split.key)
        return name not in self._excluded or name in needed

    def _is_bare_key(self, name: str) -> bool:
        """Whether of the column's values no more is asked than which are equal."""
        params = self._params
        is_key = name in (params.group_by, *params.split.key) and name != params.order_by
        return is_key and name in self._excluded

    def _read_columns(self, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if self._is_read(name):
                yield name, _key(column) if self._is_bare_key(name) else column

    def check_values(self, first_row: int, batch: pa.RecordBatch) -> None:
        """Raises UserError where a value cannot be one of a feature, under the kinds so far."""
        for name, column in self._read_columns(batch):
            if name != self._params.label and self.kinds.get(name, Kind.NULL) is not Kind.NULL:
                self._feature(first_row, name, self._typed(first_row, name, column))

    def _check_types(self, batch: pa.RecordBatch) -> None:
        """Names all columns at once whose type is not supported."""
        types = {name: column.type for name, column in self._read_columns(batch)}
        label = self._params.label
        if label in types and self._format == "parquet" and is_list(types[label]):
            raise _multi_label(label, self._path)
        bad = {name: kind for name, kind in types.items() if not kind_of_type(kind)}
        if bad:
            named = ", ".join(f"{name!r} has type {kind}" for name, kind in [*bad.items()][:5])
            more = f" and {len(bad) - 5} more columns" if len(bad) > 5 else ""
            advice = "exclude it, or make columns of one value a row of it"
            if bad.keys() <= self._excluded:
                advice = "write it as text, or name another key or time"
            raise UserError(f"{self._path}: column {named}{more}, which is not supported; {advice}")

    def _declared(self, name: str, column: pa.Array, known: Kind) -> Kind:
        here = f"{self._path}: column {name!r}"
        kind = kind_of_type(column.type)
        assert kind is not None  # checked before
        if Kind.NULL not in (kind, known) and kind is not known:
            raise UserError(
                f"{here} holds {known.value} values in some rows and {kind.value} values in others"
            )
        return join(kind, known)

    def _at(self, first_row: int, row: int) -> str:
        return f"{self._path}, row {first_row + row + 1}"

    def _typed(self, first_row: int, name: str, column: pa.Array) -> pa.Array:
        kind = self.kinds.get(name, Kind.NULL)
        try:
            if name == self._params.label:
                result = label_values(column, kind)
            else:
                result = typed(column, kind, text_format(name, self._params))
        except NanInList as error:
            raise UserError(
                f"{self._at(first_row, error.args[0])}, column {name!r}: a NaN in a list of "
                "several values; leave the list empty or fill the value"
            ) from error
        except pa.ArrowException as error:
            where = f"{self._path}, rows from {first_row + 1:,} on, column {name!r}"
            is_out = name in self._excluded
            exclude = "" if is_out else "exclude the column, or "
            said = " ".join(str(error).split())[:200]
            if "not in range" in said and kind is Kind.FLOAT:
                raise UserError(
                    f"{where} is {column.type}, in another file floating point, which does not "
                    f"hold all integers beyond 2**53 ({said}); {exclude}write it as int64 in all "
                    "files (pandas' Int64 may have gaps)"
                ) from error
            if "not in range" in said:
                advice = "store it as float" if is_out else f"{exclude}store it as text or float"
                raise UserError(f"{where}: an integer beyond int64 ({said}); {advice}") from error
            raise UserError(
                f"{where} as {kind.value}: {said}; {exclude}store it otherwise"
            ) from error
        if kind is Kind.FLOAT and (row := first_infinite(result)) is not None:
            raise UserError(
                f"{self._at(first_row, row)}, column {name!r}: an infinite value "
                f"({str(column[row].as_py())[:60]}); replace it, "
                "leave it empty (missing) or exclude the column"
            )
        return result

    def _feature(self, first_row: int, name: str, column: pa.Array) -> pa.Array:
        kind = self.kinds[name]
        if is_list(column.type):
            count = lengths(column)
            at = int(np.argmax(count > 1))
            raise UserError(
                f"{self._at(first_row, at)}, column {name!r}: a list of {count[at]:,} "
                "values, where a feature has one value a row; exclude the column, or make a column "
                "of each value"
            )
        try:
            result = feature(column, kind)
        except pa.ArrowException as error:  # times past what seconds can be computed for
            raise UserError(
                f"{self._path}, rows from {first_row + 1:,} on, column {name!r}: a {kind.value} "
                f"out of range ({' '.join(str(error).split())[:200]}); exclude the column"
            ) from error
        if kind is Kind.FLOAT and (row := first_infinite(result)) is not None:
            raise UserError(
                f"{self._at(first_row, row)}, column {name!r}: a value beyond float32's 3.4e38; "
                "rescale or exclude the column"
            )
        return result

    def _weight(self, first_row: int, weight: pa.Array | None, rows: int) -> pa.Array:
        name = str(self._params.weight)
        wanted = f"data.weight: sample weights in {name!r} must be numbers of at least 0"
        kind = self.kinds.get(name, Kind.NULL)
        if weight is None or kind is Kind.NULL:
            raise UserError(f"{wanted}; {self._at(first_row, 0)} has none")
        if kind not in NUMBERS or is_list(weight.type):
            found = "lists" if is_list(weight.type) else kind.value
            raise UserError(f"{wanted}; {self._path} holds {found} there")
        bad = pc.less(weight, 0).fill_null(True).to_numpy(zero_copy_only=False)
        if bad.any():
            row = int(np.argmax(bad))
            value = weight[row].as_py()
            found = "has none" if value is None else f"has {value:g}"
            raise UserError(f"{wanted}; {self._at(first_row, row)} {found}")
        return weight.cast(pa.float32(), safe=False)

    def _times(self, first_row: int, time: pa.Array, is_zoned: bool) -> np.ndarray:
        name = str(self._params.order_by)
        kind = self.kinds.get(name, Kind.NULL)
        if is_list(time.type):
            raise UserError(f"{self._wanted_times()}; {self._path} holds lists there")
        if kind is Kind.TEXT:
            time = without_null_values(self._decoded(first_row, time), LABEL_FORMAT)
        if time.null_count:
            at = self._at(first_row, int(np.argmax(np.asarray(pc.is_null(time)))))
            raise UserError(
                f"data.order_by: column {name!r} has a missing value ({at}); fill it, drop the "
                "row or leave data.order_by out"
            )
        if kind is Kind.TEXT:
            kind = self._kind_of_times(first_row, time)
            time = typed(time, kind)
        self._learn_time(Kind.ZONED if is_zoned else kind, first_row)
        if kind is not Kind.FLOAT:
            return np.asarray(time.cast(pa.int64()))
        # IEEE 754 floats compare as their bits do, negative ones in reverse; +0.0 unites the zeros.
        bits = (np.asarray(time) + 0.0).view(np.int64)
        return np.where(bits < 0, bits ^ _LOW_BITS, bits)

    def _wanted_times(self) -> str:
        name = self._params.order_by
        return f"data.order_by: column {name!r} must hold numbers or ISO 8601 dates or times"

    def _decoded(self, first_row: int, column: pa.Array) -> pa.Array:
        """Texts (large_binary) of `order_by` as strings."""
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid as error:
            values = column.to_pylist()
            row = next(i for i, value in enumerate(values) if value and not _is_utf8(value))
            raise UserError(
                f"{self._wanted_times()}; {self._at(first_row, row)} holds {values[row][:60]!r}, "
                "which is not UTF-8 text"
            ) from error

    def _kind_of_times(self, first_row: int, text: pa.Array) -> Kind:
        """TIME or ZONED, the kind of all the texts, of which none is null."""
        kind = kind_of_text(text)
        if kind in _TIMES:
            return kind
        odd = bisect.bisect_left(
            range(len(text)), True, key=lambda row: kind_of_text(text[: row + 1]) not in _TIMES
        )
        if (other := kind_of_text(text[odd : odd + 1])) not in _TIMES:
            raise UserError(
                f"{self._wanted_times()}; {self._at(first_row, odd)} holds {text[odd].as_py()!r}"
            )
        self._learn_time(kind_of_text(text[:1]), first_row)
        self._learn_time(other, first_row + odd)
        return other

    def _learn_time(self, kind: Kind, row: int) -> None:
        self.times.setdefault(kind, self._at(row, 0))
        check_times(self.times, self._params)


def _record_batch(columns: Mapping[str, pa.Array], rows: int) -> pa.RecordBatch:
    if not columns:
        columns = {"": pa.nulls(rows)}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _key(column: pa.Array) -> pa.Array:
    """A column of which only equality counts as one that can be hashed, where there is a way."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_fixed_size_binary(column.type):
        return column.cast(pa.binary())
    return column


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _blank(column: pa.Array) -> np.ndarray | bool:
    """Whether each text of a `typed` column is blank, bool [n]; False where it has no texts."""
    if not pa.types.is_large_binary(column.type):
        return False
    return np.asarray(pc.match_substring_regex(column, r"^\s*$").fill_null(False))


def _multi_label(name: str, where: str) -> UserError:
    return UserError(
        f"label column {name!r} ({where}) holds lists of values: multi-label is not supported; "
        "choose one class a row"
    )
