"""What the first pass learns of a column beside its kind, in bounded memory, and what to tell.

Distinct values are counted by the smallest of their hashes (Bar-Yossef et al., "Counting distinct
elements in a data stream", RANDOM 2002): exactly up to a limit, beyond it on a sample of distinct
values that depends neither on the order of rows nor on how they are spread over files.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..hashing import column_hash, splitmix64
from .kinds import Kind, is_list, lengths, number_patterns
from .notes import Note
from .params import THOUSANDS, IngestParams

LIMIT: Final = 2048  # distinct values counted exactly
_MOST_HASHES: Final = 1 << 18  # of all columns of a file
_LEAST_HASHES: Final = 64
_SHOWN: Final = 3
_RARE: Final = 5  # preprocessing.min_frequency, as it is by default
_NEARLY_ALL: Final = 0.9
_FEW_VALUES: Final = 12
_MOST_CHARACTERS: Final = 60  # of a text that is shown
_EXACT_FLOAT: Final = 2.0**53
_HIGH: Final = np.uint64(0xFFFFFFFF00000000)
_NO_WORDS: Final = np.zeros(0, np.uint64)
_NO_ROWS: Final = np.zeros(0, np.int64)
_SEPARATORS: Final = f"[{''.join(THOUSANDS)}]"


@dataclass
class Distinct:
    """The smallest hashes of a column's distinct values.

    Attributes:
      limit: most that are kept.
      words: uint64 [k], sorted.
      rows: int64 [k], how often each value was seen.
      texts: a text of each value; None where they are not kept.
    """

    limit: int = LIMIT
    words: np.ndarray = field(default_factory=lambda: _NO_WORDS)
    rows: np.ndarray = field(default_factory=lambda: _NO_ROWS)
    texts: np.ndarray | None = None

    @property
    def is_exact(self) -> bool:
        """Whether all distinct values are there."""
        return len(self.words) < self.limit

    def add(self, words: np.ndarray, rows: np.ndarray, texts: np.ndarray | None = None) -> None:
        """Adds values: hashes uint64 [n], how often each was seen int64 [n], texts [n]."""
        if not self.is_exact:
            low = words <= self.words[-1]
            words, rows = words[low], rows[low]
            texts = texts[low] if texts is not None else None
        if not len(words):
            return
        # What is there comes first, so that a value keeps its first text.
        words = np.concatenate([self.words, words])
        rows = np.concatenate([self.rows, rows])
        found, first, at = np.unique(words, return_index=True, return_inverse=True)
        counts = np.bincount(at, weights=rows).astype(np.int64)
        # Copies: of a wide table the parts would else hold all of each column's block.
        self.words, self.rows = found[: self.limit].copy(), counts[: self.limit].copy()
        if texts is not None:
            known = self.texts if self.texts is not None else np.zeros(0, object)
            self.texts = np.concatenate([known, texts])[first[: self.limit]]


@dataclass
class ColumnFacts:
    """What is known of one column's values.

    Attributes:
      kind: under which they were read.
      rows: all rows, `values` those that have a value.
      distinct: of the source's values; of floats each hash begins with that of its float32.
      numbers: values that look like a number, of a column of text.
      formatted: some of those that Arrow does not read as they are, sorted.
      others: some of the texts that look like none, sorted.
      broken: rows with a text that has a line break.
      spaced: some of a label's texts that have blanks around, sorted.
      units: unit of some of its numbers, '' for none -> the smallest text that has it.
      is_parsed: its values were read from a CSV's text.
    """

    kind: Kind = Kind.NULL
    rows: int = 0
    values: int = 0
    distinct: Distinct = field(default_factory=Distinct)
    numbers: int = 0
    formatted: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    broken: int = 0
    spaced: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    is_parsed: bool = False

    def merge(self, other: "ColumnFacts") -> None:
        """Adds what is known of other rows of the column."""
        self.kind = other.kind if self.kind is Kind.NULL else self.kind
        self.is_parsed |= other.is_parsed
        self.rows += other.rows
        self.values += other.values
        self.numbers += other.numbers
        self.broken += other.broken
        self.distinct.limit = min(self.distinct.limit, other.distinct.limit)
        self.distinct.add(other.distinct.words, other.distinct.rows, other.distinct.texts)
        for name in ("formatted", "others", "spaced"):
            setattr(self, name, _smallest([*getattr(self, name), *getattr(other, name)]))
        self.add_units(other.units)

    def add_units(self, units: Mapping[str, str]) -> None:
        """Adds unit -> the smallest text that has it."""
        for unit, text in units.items():
            self.units[unit] = min(text, self.units.get(unit, text))

    @property
    def survivors(self) -> tuple[int, int]:
        """(distinct values, distinct float32 of them), of the values sampled."""
        high, counts = np.unique(self.distinct.words & _HIGH, return_counts=True)
        if not self.distinct.is_exact and len(high) > 1:
            counts = counts[:-1]  # the last float32 may have lost some of its values
        return int(counts.sum()), len(counts)

    @property
    def always_differs(self) -> bool:
        """Whether no value is there twice, as far as the sample of distinct values tells."""
        return bool((self.distinct.rows == 1).all())


class Facts:
    """Learns the facts of a file's columns, block by block.

    Attributes:
      columns: column -> its facts.
    """

    def __init__(
        self, params: IngestParams, width: int, *, is_csv: bool, everything: bool = False
    ) -> None:
        self._params, self._is_csv, self._everything = params, is_csv, everything
        self._limit = max(_LEAST_HASHES, min(LIMIT, _MOST_HASHES // max(width, 1)))
        self.columns: dict[str, ColumnFacts] = {}

    def learn(self, name: str, kind: Kind, source: pa.Array, column: pa.Array) -> None:
        """Adds a block's values.

        Args:
          name: of the column.
          kind: of its values.
          source: n values as the file has them.
          column: the same, `typed`.
        """
        is_label = name == self._params.label
        if is_label:
            self._learn_label(name, column)
        is_feature = not is_label and name != self._params.weight
        if self._is_csv and not is_label and kind in (Kind.INT, Kind.FLOAT):
            facts = self._facts_of(name)
            facts.kind = kind
            facts.add_units(_units(source, column))
        told = is_feature and kind in (Kind.FLOAT, Kind.TEXT)
        if not (told or self._everything):
            return
        facts = self._facts_of(name)
        facts.kind = kind
        facts.is_parsed |= pa.types.is_string(source.type) and self._is_csv
        facts.rows += len(column)
        if is_list(column.type):
            facts.values += int((lengths(column) > 0).sum())
            column = column.flatten()
        else:
            facts.values += len(column) - column.null_count
        if is_list(source.type):
            is_single = pa.types.is_float32(source.type.value_type)
            source = column.cast(pa.float32()) if is_single else column
        valid = column.is_valid()
        source, column = source.filter(valid), column.filter(valid)
        if not len(column):
            return
        rows = np.ones(len(column), np.int64)
        if kind in (Kind.TEXT, Kind.BOOL):
            encoded = column.dictionary_encode()
            rows = np.bincount(np.asarray(encoded.indices), minlength=len(encoded.dictionary))
            source = column = encoded.dictionary
        is_float = pa.types.is_floating(column.type)
        words = _float_words(source, column) if is_float else column_hash(column)
        texts = None
        if self._everything:
            # Of many distinct values those will do that the sample will hold.
            chosen = np.unique(words, return_index=True)[1][: self._limit]
            texts = np.full(len(words), None, object)
            texts[chosen] = _texts(source.take(pa.array(chosen)), kind)
        facts.distinct.add(words, rows.astype(np.int64), texts)
        if kind is Kind.TEXT and is_feature:
            _learn_texts(facts, column, rows)

    def _facts_of(self, name: str) -> ColumnFacts:
        if name not in self.columns:
            self.columns[name] = ColumnFacts(distinct=Distinct(self._limit))
        return self.columns[name]

    def _learn_label(self, name: str, column: pa.Array) -> None:
        if pa.types.is_large_binary(column.type):
            facts = self._facts_of(name)
            try:
                texts = column.unique().drop_null().cast(pa.large_string())
            except pa.ArrowInvalid:
                return  # refused as a class's name elsewhere
            spaced = texts.filter(pc.not_equal(texts, pc.utf8_trim_whitespace(texts)))
            facts.spaced = _smallest([*facts.spaced, *spaced.to_pylist()])


def notes(facts: Mapping[str, ColumnFacts], label: str) -> list[Note]:
    """What a user should know of the columns."""
    found = []
    for name, column in facts.items():
        if name == label:
            found += [_blanks(name, column)] if column.spaced else []
            continue
        if len(column.units) > 1:
            found.append(_mixed_units(name, column))
        if column.kind is Kind.TEXT:
            found += _of_text(name, column)
        elif column.kind is Kind.FLOAT:
            had, left = column.survivors
            if left < _NEARLY_ALL * had:
                found.append(_lost(name, had, left, exact=column.distinct.is_exact))
    return found


def _blanks(name: str, column: ColumnFacts) -> Note:
    return Note(
        name="blanks_in_label",
        column=name,
        message=f"label column {name!r}: blanks around a class's name are passed over, so that "
        f"{_listed(column.spaced)} are the classes "
        f"{_listed([text.strip() for text in column.spaced])}",
    )


def _mixed_units(name: str, column: ColumnFacts) -> Note:
    units = [repr(unit) if unit else "none" for unit in sorted(column.units)]
    texts = [text for unit, text in sorted(column.units.items()) if unit]
    return Note(
        name="mixed_units",
        column=name,
        message=f"column {name!r}: its numbers have different units ({', '.join(units)}), such as "
        f"{_listed(texts[:_SHOWN])}; the units are passed over, so that '50%' is 50; write all "
        "numbers in one unit, or list the column under data.exclude",
    )


def _of_text(name: str, column: ColumnFacts) -> Iterable[Note]:
    if column.broken:
        yield _line_breaks(name, column)
    if column.numbers >= _NEARLY_ALL * column.values > 0:
        yield Note(
            name="numbers_as_text",
            column=name,
            message=f"column {name!r}: {_share(column.numbers, column.values)} of its values look "
            f"like numbers, but it is read as text{_why_text(column)}",
        )
        return
    rows = column.distinct.rows
    rare = rows[rows < _RARE].sum()
    if len(rows) > _FEW_VALUES and rare >= _NEARLY_ALL * rows.sum():
        yield Note(
            name="free_text",
            column=name,
            message=f"column {name!r}: {_share(int(rare), int(rows.sum()))} of its rows have a "
            f"text that fewer than {_RARE} rows have; by default preprocessing makes one "
            "out-of-vocabulary id of them all: list the column under data.exclude, or make "
            "features of it by preprocessing.fn",
        )


def _line_breaks(name: str, column: ColumnFacts) -> Note:
    return Note(
        name="line_breaks",
        column=name,
        message=f"column {name!r}: {_share(column.broken, column.values)} of its values have a "
        "line break; by default preprocessing makes one out-of-vocabulary id of them all: replace "
        "the line breaks, list the column under data.exclude, or make features of it by "
        "preprocessing.fn",
    )


def _why_text(column: ColumnFacts) -> str:
    if not column.is_parsed:
        return ", as the files declare it; give it a type of numbers there"
    why = ""
    if column.others:
        why = (
            f" because of {_listed(column.others)}; where that means a missing value, list it "
            "under data.null_values"
        )
    if column.formatted:
        why += (
            f"; for numbers such as {_listed(column.formatted)} set data.decimal and data.thousands"
        )
    return why


def _lost(name: str, had: int, left: int, *, exact: bool) -> Note:
    what = f"{had:,} distinct numbers, of which {left:,} are"
    if not exact:
        what = f"more than {had:,} distinct numbers, of which {left / had:.1%} are"
    return Note(
        name="float32_loss",
        column=name,
        message=f"column {name!r}: {what} left as float32, the form of tf.Example's floats; "
        "exclude an identifier; of a number subtract an offset in the source where the difference "
        "matters",
    )


def _learn_texts(facts: ColumnFacts, texts: pa.Array, rows: np.ndarray) -> None:
    try:
        texts = texts.cast(pa.large_string())
    except pa.ArrowInvalid:  # not UTF-8
        return
    facts.broken += int(rows[np.asarray(pc.match_substring_regex(texts, r"[\n\r]"))].sum())
    looks = look_like_numbers(texts)
    facts.numbers += int(rows[looks].sum())
    if looks.any():
        numbers = texts.filter(pa.array(looks))
        formatted = pc.match_substring_regex(numbers, r"\d" + _SEPARATORS)
        plain = pc.match_substring_regex(numbers, r"^\s*-?\d*\.?\d*([eE][+-]?\d+)?\s*$")
        odd = numbers.filter(pc.and_(formatted, pc.invert(plain)))
        facts.formatted = _smallest([*facts.formatted, *_first(odd)])
    if not looks.all():
        rest = texts.filter(pa.array(~looks))
        facts.others = _smallest([*facts.others, *_first(rest)])


def _units(text: pa.Array, numbers: pa.Array) -> dict[str, str]:
    """Unit of some of the numbers, '' for none -> the smallest text that has it."""
    if not _may_have_units(text):
        return {"": ""} if numbers.null_count < len(numbers) else {}
    text = text.filter(numbers.is_valid())
    units = pc.replace_substring_regex(text, r"[^%\p{Sc}]+", "")
    return {
        unit: pc.min(text.filter(pc.equal(units, unit))).as_py() if unit else ""
        for unit in units.unique().to_pylist()
    }


def _may_have_units(text: pa.Array) -> bool:
    """A look at all bytes at once, as most columns have none."""
    _, offsets, data = text.buffers()
    if data is None or not len(text):
        return False
    ends = np.frombuffer(offsets, np.int32)[text.offset :]
    part = data[ends[0] : ends[len(text)]].to_pybytes()
    return b"%" in part or b"$" in part or not part.isascii()


def _first(texts: pa.Array) -> list[str]:
    at = pc.select_k_unstable(texts, _SHOWN, [("text", "ascending")]) if len(texts) > 3 else None
    return (texts if at is None else texts.take(at)).to_pylist()


def _smallest(texts: Iterable[str]) -> list[str]:
    return heapq.nsmallest(_SHOWN, set(texts))


def _float_words(source: pa.Array, column: pa.Array) -> np.ndarray:
    """uint64 [n]: half the hash of the float32, then half the hash of the source's own value."""
    values = np.asarray(column) + 0.0  # one zero
    own = column_hash(column)
    if pa.types.is_string(source.type) and (large := np.abs(values) >= _EXACT_FLOAT).any():
        # Digits that float64 cannot tell apart: the text can.
        text = pc.ascii_trim_whitespace(source.filter(pa.array(large)))
        own[large] = column_hash(text)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32).view(np.uint32)
    return (splitmix64(single.astype(np.uint64)) & _HIGH) | (own >> np.uint64(32))


def _texts(values: pa.Array, kind: Kind) -> list[str]:
    """The values as their source writes them."""
    if pa.types.is_string(values.type) and kind is not Kind.TEXT:
        values = pc.ascii_trim_whitespace(values)
    if pa.types.is_float32(values.type):
        return [str(np.float32(value)) for value in values.to_pylist()]
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.string())
    texts = (
        v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values.to_pylist()
    )
    return [_cut(text) for text in texts]


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(repr(_cut(text)) for text in texts)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _share(part: int, whole: int) -> str:
    """A percentage that is 100 only where it is all."""
    share = f"{part / whole:.1%}"
    return "more than 99.9%" if share == "100.0%" and part < whole else share


def _any_number() -> str:
    formats = [(d, t) for d in ".," for t in THOUSANDS if t != d]
    return "|".join(number_patterns(*formats))


_ANY_NUMBER: Final = _any_number()
_NO_WORD: Final = r"^[^A-DF-Za-df-z]*\d[^A-DF-Za-df-z]*$"  # numbers and more, soon compiled


def look_like_numbers(texts: pa.Array) -> np.ndarray:
    """bool [n]: whether each text is a number in any of the formats that a config can name."""
    may = np.asarray(pc.match_substring_regex(texts, _NO_WORD))
    return np.asarray(pc.match_substring_regex(texts, _ANY_NUMBER)) if may.any() else may
