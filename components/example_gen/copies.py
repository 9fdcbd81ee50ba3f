"""Which of the rows of one identity a row is: numbers that do not depend on where rows stand.

Rows of one identity are ordered by what may differ between them, class first (`Block.ties` holds
the rest); rows that agree in all of it are interchangeable, and numbered as they are read. A file's
second reading needs only the first number of each kind of repeated row in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..hashing import column_hash, splitmix64

TIES = ("group", "time", "weight", "content")
"""What orders rows of one identity and class, in this order."""


@dataclass
class FirstCopies:
    """The number of the first row of each kind of repeated row, file by file.

    Attributes:
      repeated: int64 [r], sorted: identities that several rows have.
      ends: int64 [files], where each file's part of the next two ends.
      words: uint64 [e], hashes of identity, class and ties; sorted within a file's part.
      first: int64 [e], the number of the first such row in the file.
    """

    repeated: np.ndarray
    ends: np.ndarray
    words: np.ndarray
    first: np.ndarray

    def counter(self, file: int) -> "Counter":
        """For one reading of the file of this number."""
        start = self.ends[file - 1] if file else 0
        part = slice(start, self.ends[file])
        return Counter(self.repeated, self.words[part], self.first[part].copy())


@dataclass
class Counter:
    """Numbers one file's rows, block by block in their order."""

    repeated: np.ndarray
    words: np.ndarray
    next: np.ndarray

    def number(
        self, ids: np.ndarray, classes: np.ndarray, ties: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """int64 [n]: which of the rows of its identity each is, from 0.

        Args:
          ids: int64 [n], identities.
          classes: uint64 [n], hashes of the classes' names (`class_words`).
          ties: name among TIES -> [n].

        Raises:
          RuntimeError: a repeated row was not there in the first pass.
        """
        numbers = np.zeros(len(ids), np.int64)
        at = np.flatnonzero(_is_in(ids, self.repeated))
        if not len(at):
            return numbers
        words = _words(ids[at], classes[at], {name: tie[at] for name, tie in ties.items()})
        kind = np.searchsorted(self.words, words)
        if not np.array_equal(self.words[np.minimum(kind, len(self.words) - 1)], words):
            raise RuntimeError("the data changed while they were being read; run again")
        order = np.argsort(kind, kind="stable")
        numbers[at[order]] = self.next[kind[order]] + _positions(kind[order])
        self.next += np.bincount(kind, minlength=len(self.next))
        return numbers


def number(
    ids: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    names: Sequence[str],
    ties: Sequence[Mapping[str, np.ndarray]],
) -> tuple[np.ndarray, FirstCopies]:
    """Numbers all rows of all files.

    Args:
      ids: for each file, in the order of their names, the identities int64 [n] of its rows.
      classes: for each file, the index int [n] of each row's class in `names`.
      names: class names, sorted.
      ties: for each file, name among TIES -> [n].

    Returns:
      The numbers int64 [rows of all files], and what the second pass needs of them.
    """
    sizes = [len(part) for part in ids]
    joined = np.concatenate(ids)
    repeated = _repeated(joined)
    numbers = np.zeros(len(joined), np.int64)
    at = np.flatnonzero(_is_in(joined, repeated))
    own = joined[at]
    code = np.concatenate(classes)[at]
    file = np.repeat(np.arange(len(sizes)), sizes)[at]
    tied = {name: np.concatenate([t[name] for t in ties])[at] for name in ties[0]}
    order = np.lexsort((file, *(tied[name] for name in reversed(TIES) if name in tied), code, own))
    numbers[at[order]] = _positions(own[order])
    words = _words(own, class_words(pa.array(names))[code], tied) if len(at) else own.view("u8")
    starts = _starts(words[order], file[order])
    part = np.lexsort((words[order][starts], file[order][starts]))
    firsts = order[starts[part]]
    ends = np.searchsorted(file[firsts], np.arange(len(sizes)), side="right")
    return numbers, FirstCopies(repeated, ends, words[firsts], numbers[at[firsts]])


def class_words(names: pa.Array) -> np.ndarray:
    """uint64 [n]: a hash of each class's name."""
    return column_hash(names)


def _repeated(ids: np.ndarray) -> np.ndarray:
    ordered = np.sort(ids)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _is_in(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """bool [n]; `among` is sorted."""
    if not len(among):
        return np.zeros(len(ids), bool)
    found: np.ndarray = among[np.minimum(np.searchsorted(among, ids), len(among) - 1)] == ids
    return found


def _starts(*keys: np.ndarray) -> np.ndarray:
    """int64: where runs of equal keys start."""
    new = np.ones(len(keys[0]), bool)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return np.flatnonzero(new)


def _positions(keys: np.ndarray) -> np.ndarray:
    """int64 [n]: the position of each element in its run of equal keys."""
    starts = _starts(keys)
    return np.arange(len(keys)) - np.repeat(starts, np.diff([*starts, len(keys)]))


def _words(ids: np.ndarray, classes: np.ndarray, ties: Mapping[str, np.ndarray]) -> np.ndarray:
    """uint64 [n]: a hash of identity, class and ties."""
    word = splitmix64(ids.view(np.uint64)) ^ classes
    for name in TIES:
        if name in ties:
            tie = ties[name]
            bits = tie.view(np.uint64 if tie.itemsize == 8 else np.uint32)
            word = splitmix64(word) ^ splitmix64(bits)
    return splitmix64(word)
