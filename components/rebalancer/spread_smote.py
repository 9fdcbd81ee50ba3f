"""Synthetic rows of classes whose features do not fit in one place: SMOTE and SMOTE-NC by cells.

A class is a group of `spread`; a row is a base in the cell where it is at home. How often it is one
depends on the hashes of the whole class, so these are counted, as `selection` does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton

from .. import hashing
from . import cells, selection
from .moments import Moments
from .plan import Plan, synthetic_sampler
from .reading import Block, BlockDoFn, Job
from .rows import Origin, Rows
from .samplers.base import Source
from .spread_search import Cell, Part, Search, find_routes, in_cells, recall_of
from .synthesis import synthesise

_TASK_ROWS = 1 << 16


def spread_synthetic(
    read: Callable[[str], beam.PCollection], planned: beam.PCollection, job: Job
) -> tuple[beam.PCollection, beam.PCollection]:
    """Synthetic rows of all growing classes.

    Args:
      read: gives the examples, as Frames or as names of their files, for the step of that name;
        called three times.
      planned: one Plan.
      job: its method makes rows as smote or smote_nc does.

    Returns:
      (Rows, Origin) of many rows each; and (class code, recall of the search) of the classes whose
      search was not exact.

    Raises:
      UserError: (in a worker) see `find_routes`.
    """

    def growing(step: str) -> beam.PCollection:
        return read(step) | f"{step}Parse" >> beam.ParDo(_Growing(job), AsSingleton(planned))

    search = Search("Smote", job.params.k_neighbors, job)
    sample, rows = growing("SmoteSample"), growing("SmoteSearch")
    bases = sample | "CountBases" >> beam.CombinePerKey(_BasesFn(search))
    copies = bases | "SmoteCopies" >> beam.Map(_copies, AsSingleton(planned))
    edges = (
        rows
        | "SmoteEdges" >> beam.FlatMap(_edge, job, AsDict(copies))
        | "MergeEdges" >> beam.CombinePerKey(_WordsFn())
    )
    uses = copies | "SmoteUses" >> beam.Map(_uses, AsDict(edges))
    penalties = bases | "SmotePenalties" >> beam.Map(_penalty)
    routes = find_routes(search, sample, rows, AsDict(penalties))
    made = in_cells(search, growing("SmoteRows"), routes) | "SynthesiseCells" >> beam.FlatMap(
        _synthesise, job, AsDict(uses)
    )
    return made, recall_of(search, routes)


class _Growing(BlockDoFn):
    """(class code, Part) of each class that grows."""

    def of(self, block: Block, made: Plan) -> Iterator[tuple[int, Part]]:
        chosen = np.isin(block.codes, list(made.new))
        if not chosen.any():
            return
        classes = self._job.layout.classes
        rows = self.rows(block, chosen)
        for code in np.unique(rows.codes).tolist():
            yield code, Part(rows.take(rows.codes == code), made.before[classes[code]])


class _Bases(NamedTuple):
    """What all rows of a class tell.

    Attributes:
      histogram: int64 [1, n_buckets], of the hashes that decide which rows are used once more.
      moments: of the numeric features, where the distance needs them.
    """

    histogram: np.ndarray
    moments: Moments | None


class _BasesFn(beam.CombineFn):
    """Merges Parts of a class into its _Bases."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def create_accumulator(self) -> _Bases:
        return _Bases(selection.empty_histogram(1), None)

    def add_input(self, found: _Bases, part: Part) -> _Bases:
        words = _words(part.rows.ids, self._search.job)
        selection.add_to_histogram(found.histogram, np.zeros(len(words), np.int64), words)
        if not self._search.mixed:
            return found
        return self._plus(found, Moments.of(self._search.split(part.rows).numeric))

    def merge_accumulators(self, parts: Iterable[_Bases]) -> _Bases:
        total = self.create_accumulator()
        for part in parts:
            np.add(total.histogram, part.histogram, out=total.histogram)
            total = self._plus(total, part.moments)
        return total

    def extract_output(self, found: _Bases) -> _Bases:
        return found

    def _plus(self, found: _Bases, moments: Moments | None) -> _Bases:
        if moments is None or found.moments is None:
            return found._replace(moments=moments or found.moments)
        return found._replace(moments=found.moments.plus(moments))


class _WordsFn(beam.CombineFn):
    """Merges (distinct hashes uint64 [m], ascending, how often each int64 [m])."""

    def create_accumulator(self) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(0, np.uint64), np.empty(0, np.int64)

    def add_input(
        self, found: tuple[np.ndarray, np.ndarray], more: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.merge_accumulators([found, more])

    def merge_accumulators(
        self, parts: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        words, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
        words, which = np.unique(words, return_inverse=True)
        total = np.zeros(len(words), np.int64)
        np.add.at(total, which, counts)
        return words, total

    def extract_output(self, found: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return found


class _Uses(NamedTuple):
    """How often each row of a class is a base.

    Attributes:
      copies: by hash; of the rows at its edge
      word: those with a smaller hash (uint64) are used once more,
      rest: and so many of those with that hash.
    """

    copies: selection.Copies
    word: np.uint64
    rest: int

    def of(self, ids: np.ndarray, rank: np.ndarray, job: Job) -> np.ndarray:
        """int64 [b], of rows of these identities and ranks among them, int64 [b] each."""
        words = _words(ids, job)
        uses, edge = self.copies.of(np.zeros(len(words), np.int64), words)
        last = (words == self.word) & (rank < self.rest)
        return uses + (edge & ((words < self.word) | last))


def _words(ids: np.ndarray, job: Job) -> np.ndarray:
    """uint64 [n]: as `selection.uses_of` orders bases."""
    return hashing.keyed(ids, job.params.seed, "base")


def _copies(bases: tuple[int, _Bases], made: Plan) -> tuple[int, selection.Copies]:
    code, (histogram, _) = bases
    return code, selection.Copies.exact(histogram, [made.new[code]])


def _penalty(bases: tuple[int, _Bases]) -> tuple[int, float]:
    code, (_, moments) = bases
    return code, moments.median_deviation() if moments else 0.0


def _edge(
    part: tuple[int, Part], job: Job, copies: dict[int, selection.Copies]
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Hashes of rows at the edge of those that are used once more, and how many rows have each."""
    code, (rows, _) = part
    words = _words(rows.ids, job)
    _, edge = copies[code].of(np.zeros(len(words), np.int64), words)
    if edge.any():
        yield code, np.unique(words[edge], return_counts=True)


def _uses(
    found: tuple[int, selection.Copies], edges: dict[int, tuple[np.ndarray, np.ndarray]]
) -> tuple[int, _Uses]:
    code, copies = found
    within = int(copies.within[0])
    if not within:
        return code, _Uses(copies, np.uint64(0), 0)
    words, counts = edges[code]
    ends = np.cumsum(counts)
    at = int(np.searchsorted(ends, within))
    return code, _Uses(copies, words[at], within - int(ends[at] - counts[at]))


def _synthesise(cell: Cell, job: Job, known: dict[int, _Uses]) -> Iterator[tuple[Rows, Origin]]:
    """The synthetic rows of the bases of one cell."""
    split, k = cell.split, job.params.k_neighbors
    uses = known[cell.group].of(split.rows.ids[cell.home], split.rank[cell.home], job)
    bases, uses = cell.home[uses > 0], uses[uses > 0]
    if not len(bases):
        return
    table, _ = cells.search_cell(cell.space, k, bases)
    pool = np.arange(len(split))
    source = Source(cell.group, bases, uses, pool, k, job.params.method, table=table)
    sampler = synthetic_sampler(job.params)
    total = int(uses.sum())
    for start in range(0, total, _TASK_ROWS):
        yield synthesise(sampler, split, source, start, min(start + _TASK_ROWS, total))
