"""Which of the rows of one identity each is, where the examples do not carry it: they are counted.

First the identities that occur more than once are found, with 8 bytes of each row in one place.
Then only rows of those are looked at together: what tells them apart of files, 32 bytes each, or
the examples themselves where there is no file to find them in again. All others are first copies.

Rows of one identity are numbered by class, then content. So exchanging two equal ones, or reading
the rows in another order, changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton, TaggedOutput

from .. import examples_io, hashing
from ..tfrecord import Frames, read_frames
from .reading import Block, BlockDoFn, BlockParser, Job, Numbered, Told

_SHARDS = 64
_UNIQUE, _REPEATED = "unique", "repeated"
Read = Callable[[str], beam.PCollection]


def copies_of(ids: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """int64 [n]: how many rows of the same identity come before, by `keys`, then as they lie.

    Args:
      ids: int64 [n], identities of content.
      keys: int64 [n] each, the first decides first.
    """
    order = np.lexsort((*reversed(keys), ids))
    at, sorted_ids = np.arange(len(ids)), ids[order]
    first = np.append(True, sorted_ids[1:] != sorted_ids[:-1])[: len(ids)]
    copies = np.empty(len(ids), np.int64)
    copies[order] = at - np.maximum.accumulate(np.where(first, at, 0))
    return copies


def numbered(read: Read, job: Job) -> Read:
    """The same files with the numbers of their rows.

    Args:
      read: gives the names of the files, for the step of that name.
      job: its layout has no copies.

    Returns:
      Gives them as Numbered.
    """
    repeated = _repeated(read("Identify"), job)
    copies = (
        read("Mark")
        | "MarkRepeated" >> beam.ParDo(_Mark(job), AsSingleton(repeated))
        | "GatherMarks" >> beam.combiners.ToList()
        | "NumberMarks" >> beam.Map(_numbers)
    )

    def with_copies(step: str) -> beam.PCollection:
        return read(step) | f"{step}Copies" >> beam.Map(_with_copies, AsSingleton(copies))

    return with_copies


def told(blocks: beam.PCollection, job: Job) -> beam.PCollection:
    """Told of Frames: the same examples, in other blocks; `job` as for `numbered`."""
    repeated = _repeated(blocks, job)
    parts = blocks | "PartRepeated" >> beam.ParDo(_Part(job), AsSingleton(repeated)).with_outputs(
        _REPEATED, main=_UNIQUE
    )
    counted = (
        parts[_REPEATED] | "GroupRepeated" >> beam.GroupByKey() | "Number" >> beam.Map(_counted)
    )
    return (parts[_UNIQUE], counted) | "BothTold" >> beam.Flatten()


def _repeated(source: beam.PCollection, job: Job) -> beam.PCollection:
    """One int64 [m]: the identities that several rows have, ascending."""
    return (
        source
        | "Identities" >> beam.ParDo(_Identities(job))
        | "RepeatedIdentities" >> beam.CombineGlobally(_RepeatedFn())
    )


class _Identities(BlockDoFn):
    """Identities of content, int64 [n]."""

    def of(self, block: Block) -> Iterator[np.ndarray]:
        yield block.content


class _RepeatedFn(beam.CombineFn):
    """Merges int64 arrays into the values that occur more than once."""

    def create_accumulator(self) -> list[np.ndarray]:
        return []

    def add_input(self, found: list[np.ndarray], ids: np.ndarray) -> list[np.ndarray]:
        found.append(ids)
        return found

    def merge_accumulators(self, parts: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
        return [ids for part in parts for ids in part]

    def extract_output(self, found: list[np.ndarray]) -> np.ndarray:
        ids = np.sort(np.concatenate([np.empty(0, np.int64), *found]))
        return np.unique(ids[1:][ids[1:] == ids[:-1]])


class _Marks(NamedTuple):
    """Rows of repeated identities in one file, int64 [m] each: places, identities, classes and
    hashes of all that they hold but the label."""

    path: str
    rows: np.ndarray
    ids: np.ndarray
    codes: np.ndarray
    content: np.ndarray


class _Mark(beam.DoFn):
    """_Marks of a file, whose rows are counted through its blocks."""

    def __init__(self, job: Job) -> None:
        self._job, self._parse = job, BlockParser(job.layout)

    def process(self, path: str, repeated: np.ndarray) -> Iterator[_Marks]:
        start = 0
        for frames in read_frames(path) if len(repeated) else ():
            block = self._parse(frames)
            at = np.flatnonzero(np.isin(block.content, repeated))
            if len(at):
                content = _content(block, at, self._job)
                yield _Marks(path, start + at, block.content[at], block.codes[at], content)
            start += len(frames)


def _content(block: Block, rows: np.ndarray, job: Job) -> np.ndarray:
    """int64 [m]: hashes of all that `rows` int64 [m] hold but the label."""
    if not job.layout.has_row_id:
        return block.content[rows]
    batch = examples_io.decoder().DecodeBatch(block.frames.select(rows).payloads())
    return hashing.row_ids(batch, {job.layout.label})


def _numbers(marks: list[_Marks]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Path -> places, ascending, and numbers of rows that are no first copies, int64 [m] each."""
    if not marks:
        return {}
    marks = sorted(marks, key=lambda mark: (mark.path, mark.rows[0]))
    keys = (np.concatenate([mark[i] for mark in marks]) for i in range(2, 5))  # type: ignore[misc]
    copies = copies_of(*keys)
    ends = np.cumsum([len(mark.rows) for mark in marks])
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for mark, own in zip(marks, np.split(copies, ends[:-1]), strict=True):
        parts.setdefault(mark.path, []).append((mark.rows[own > 0], own[own > 0]))
    return {
        path: (np.concatenate([part[0] for part in found]), np.concatenate([p[1] for p in found]))
        for path, found in parts.items()
    }


def _with_copies(path: str, copies: dict[str, tuple[np.ndarray, np.ndarray]]) -> Numbered:
    none = np.empty(0, np.int64)
    return Numbered(path, *copies.get(path, (none, none)))


class _Shard(NamedTuple):
    """Rows of some repeated identities, as _Marks has them, and their records."""

    ids: np.ndarray
    codes: np.ndarray
    content: np.ndarray
    records: list[bytes]


class _Part(BlockDoFn):
    """Told of rows of an identity of their own; (shard, _Shard) of the others."""

    def of(self, block: Block, repeated: np.ndarray) -> Iterator[Any]:
        several = np.isin(block.content, repeated)
        alone = block.content[~several]
        if len(alone):
            yield Told(block.frames.select(~several), alone, alone)
        shard_of = block.content.view(np.uint64) % np.uint64(_SHARDS)
        for shard in np.unique(shard_of[several]).tolist():
            at = np.flatnonzero(several & (shard_of == shard))
            found = _Shard(
                block.content[at],
                block.codes[at],
                _content(block, at, self._job),
                block.frames.select(at).payloads(),
            )
            yield TaggedOutput(_REPEATED, (int(shard), found))


def _counted(shard: tuple[int, Iterable[_Shard]]) -> Told:
    parts = list(shard[1])
    ids, codes, content = (
        np.concatenate([part[i] for part in parts])  # type: ignore[misc]
        for i in range(3)
    )
    frames: Frames = examples_io.framed([record for part in parts for record in part.records])
    return Told(frames, hashing.copy_ids(ids, copies_of(ids, codes, content)), ids)
