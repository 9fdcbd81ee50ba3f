"""SMOTE and SMOTE-NC of classes whose features do not fit in one place, on Beam.

A class is cut into the cells of a coarse quantizer (`cells`), with one ask: a row is a candidate in
its `probes` nearest cells and a base in its nearest one, so that one GroupByKey brings together
all that its synthetic rows are made of, and they are made right there. Three reads come before
those rows are there: a sample and counts of each growing class; the true neighbours of some sample
rows among all rows, by which `cells.plan` measures its recall; the rows themselves, by cell.

The rows are those of `cells.search` by cells alone with one ask in one place: they depend on
identities, values and seed, not on how the input is cut. A class of at most `exact_rows` rows that
fits in one place is one cell. Rows of one identity have equal features, as identities are made;
so they are bases in one cell, where their ranks are known.

Memory: what crosses a stage are up to `probes` copies of the features of the growing classes,
packed: in a cluster they lie in its shuffle, and a worker holds one cell at a time. Beam's local
runner has them in memory, about three times over while it groups, so that on one machine a larger
memory_limit_mb takes less. Besides, at most 1,000 + 20 * 4,096 rows of a class are broadcast.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict, AsSingleton, TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from .. import hashing
from ..errors import UserError
from ..tfrecord import Frames
from . import cells, selection
from .features import Features
from .moments import Moments
from .neighbors import Space, nearest
from .output import synthetic_frames
from .plan import Plan, megabytes, synthetic_sampler
from .reading import BlockParser, Job, rows_of
from .rows import Rows, Split
from .samplers.base import Source
from .synthesis import synthesise

_HELD_VALUES = 1 << 20  # of rows that wait in a worker to be looked at together
_TASK_ROWS = 1 << 16
_NEAR, _EDGE = "near", "edge"


def spread_synthetic(
    read: Callable[[str], beam.PCollection], planned: beam.PCollection, job: Job
) -> tuple[beam.PCollection, beam.PCollection]:
    """Synthetic rows of all growing classes.

    Args:
      read: gives the examples as Frames, for the step of that name; called three times.
      planned: one Plan.
      job: its method is smote or smote_nc.

    Returns:
      Frames; and (class code, recall of the search) of the classes whose search was not exact.

    Raises:
      UserError: (in a worker) cells in which so much of the neighbours is found do not fit
        memory_limit_mb either.
    """
    asked = (
        read("SpreadSample")
        | "SampleClasses" >> beam.ParDo(_Sample(job), AsSingleton(planned))
        | "ThinClasses" >> beam.CombinePerKey(_SampleFn(job))
        | "Ask" >> beam.Map(_ask, job, AsSingleton(planned))
    )
    searched = read("SpreadSearch") | "SearchSample" >> beam.ParDo(
        _Search(job), AsSingleton(planned), AsDict(asked)
    ).with_outputs(_NEAR, _EDGE)
    near = searched[_NEAR] | "MergeNearest" >> beam.CombinePerKey(_NearFn(job.params.k_neighbors))
    edges = searched[_EDGE] | "MergeBases" >> beam.CombinePerKey(_WordsFn())
    routes = asked | "PlanCells" >> beam.Map(
        _route, job, AsSingleton(planned), AsDict(near), AsDict(edges)
    )
    scattered = read("SpreadRows") | "Scatter" >> beam.ParDo(
        _Scatter(job), AsSingleton(planned), AsDict(routes)
    ).with_output_types(tuple[tuple[int, int], bytes])
    frames = (
        scattered
        | "GroupCells" >> beam.GroupByKey()
        | "SynthesiseCells" >> beam.FlatMap(_synthesise, job, AsDict(routes))
    )
    recall = routes | "SpreadRecall" >> beam.FlatMap(_recall)
    return frames, recall


@dataclass
class _Sampled:
    """What one read tells of a class.

    Attributes:
      rows: those with the smallest hashes, the first of each identity, in that order.
      limit: how many of them, at most.
      histogram: int64 [1, n_buckets], of the hashes that decide which bases are used once more.
      moments: of the numeric features, where the distance needs them.
    """

    rows: Rows | None
    limit: int
    histogram: np.ndarray
    moments: "Moments | None"


class _Ask(NamedTuple):
    """What is known of a class before its neighbours are looked for.

    Attributes:
      whole: whether it is one cell, searched exactly, so that nothing has to be measured.
      queries: rows whose true neighbours tell the recall.
      training: rows that the quantizer is trained on.
      copies: how often each row is a base, by hash.
      penalty: see `Space`.
    """

    whole: bool
    queries: Rows
    training: Rows
    copies: selection.Copies
    penalty: float


class _Route(NamedTuple):
    """Where rows of a class go, and how often each is a base.

    Attributes:
      cells: None for one cell.
      probes: cells in which a row is a candidate.
      recall: None where the search is exact.
      copies: how often each row is a base, by hash.
      word: rows of the bucket `copies.cut` with a smaller hash (uint64) are used once more,
      rest: and so many of those with that hash.
      penalty: see `Space`.
    """

    cells: cells.Cells | None
    probes: int
    recall: float | None
    copies: selection.Copies
    word: np.uint64
    rest: int
    penalty: float


class _Nearest(NamedTuple):
    """The nearest rows of each of s queries, by distance, then identity: at most m of them.

    Attributes:
      distances: float64 [s, m].
      ids: int64 [s, m].
      vectors: float32 [s, m, d], `cells.vectors`.
    """

    distances: np.ndarray
    ids: np.ndarray
    vectors: np.ndarray


class _Sample(beam.DoFn):
    """Frames -> (class code, its rows, how many the sample may have)."""

    def __init__(self, job: Job) -> None:
        self._job, self._parse = job, BlockParser(job.layout)

    def process(self, frames: Frames, made: Plan) -> Iterator[tuple[int, tuple[Rows, int]]]:
        for code, rows in _growing(self._parse, frames, made, self._job):
            yield code, (rows, _sample_limit(made.before[self._job.layout.classes[code]]))


class _SampleFn(beam.CombineFn):
    """Merges (rows, limit) of a class into a _Sampled."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def create_accumulator(self) -> _Sampled:
        return _Sampled(None, 0, selection.empty_histogram(1), None)

    def add_input(self, found: _Sampled, block: tuple[Rows, int]) -> _Sampled:
        rows, limit = block
        words = _base_words(rows.ids, self._job)
        selection.add_to_histogram(found.histogram, np.zeros(len(words), np.int64), words)
        moments = Moments.of(_split(rows, self._job).numeric) if _mixed(self._job) else None
        return self._merged(found, rows, limit, moments)

    def merge_accumulators(self, parts: Iterable[_Sampled]) -> _Sampled:
        total = self.create_accumulator()
        for part in parts:
            np.add(total.histogram, part.histogram, out=total.histogram)
            if part.rows is not None:
                total = self._merged(total, part.rows, part.limit, part.moments)
        return total

    def extract_output(self, found: _Sampled) -> _Sampled:
        return found

    def _merged(self, found: _Sampled, rows: Rows, limit: int, moments: Moments | None) -> _Sampled:
        seed = _seed(self._job)
        held = found.rows
        if held is not None:
            if len(held.ids) >= limit:
                last = hashing.keyed(held.ids[-1:], seed, "cells")
                rows = rows.take(hashing.keyed(rows.ids, seed, "cells") <= last)
            rows = Rows.concatenated([held, rows])
        rows = rows.ordered()
        rows = rows.take(cells.sample_rows(rows.ids, seed)[:limit])
        if moments is not None and found.moments is not None:
            moments = found.moments.plus(moments)
        return _Sampled(rows, limit, found.histogram, moments)


class _ByClass(beam.DoFn, ABC):
    """Frames -> what `found` gives of the rows of each growing class, many at a time."""

    def __init__(self, job: Job) -> None:
        self._job, self._parse = job, BlockParser(job.layout)

    def start_bundle(self) -> None:
        self._held: dict[int, list[Rows]] = {}
        self._values = 0
        self._known: dict[int, Any] = {}

    def process(self, frames: Frames, made: Plan, known: dict[int, Any]) -> Iterator[Any]:
        self._known = known
        for code, rows in _growing(self._parse, frames, made, self._job):
            self._held.setdefault(code, []).append(rows)
            self._values += len(rows.ids) * self._job.features.values
        if self._values >= _HELD_VALUES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[Any]:
        window = GlobalWindow()
        for found in self._flush():
            tagged = isinstance(found, TaggedOutput)
            value = WindowedValue(
                found.value if tagged else found, window.max_timestamp(), [window]
            )
            yield TaggedOutput(found.tag, value) if tagged else value

    def _flush(self) -> Iterator[Any]:
        held, self._held, self._values = self._held, {}, 0
        for code, parts in held.items():
            yield from self.found(code, Rows.concatenated(parts).ordered(), self._known[code])

    @abstractmethod
    def found(self, code: int, rows: Rows, known: Any) -> Iterator[Any]:
        """Of rows of one class in canonical order; `known` is what the side input has of it."""


class _Search(_ByClass):
    """The nearest rows of each query, and the hashes of rows at the edge of the bases."""

    def found(self, code: int, rows: Rows, known: _Ask) -> Iterator[TaggedOutput]:
        words = _base_words(rows.ids, self._job)
        _, edge = known.copies.of(np.zeros(len(words), np.int64), words)
        if edge.any():
            yield TaggedOutput(_EDGE, (code, np.unique(words[edge], return_counts=True)))
        if not known.whole:
            found = _nearest_rows(known, rows, self._job)
            yield TaggedOutput(_NEAR, (code, found))


class _NearFn(beam.CombineFn):
    """Merges _Nearest of the same queries. One more than `k` are kept: one may be the query."""

    def __init__(self, k: int) -> None:
        self._most = k + 1

    def create_accumulator(self) -> _Nearest | None:
        return None

    def add_input(self, found: _Nearest | None, more: _Nearest) -> _Nearest:
        return more if found is None else self._merged([found, more])

    def merge_accumulators(self, parts: Iterable[_Nearest | None]) -> _Nearest | None:
        there = [part for part in parts if part is not None]
        return self._merged(there) if there else None

    def extract_output(self, found: _Nearest | None) -> _Nearest | None:
        return found

    def _merged(self, parts: list[_Nearest]) -> _Nearest:
        distances, ids, found = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        order = np.lexsort((ids, distances), axis=1)[:, : self._most]
        return _Nearest(
            np.take_along_axis(distances, order, axis=1),
            np.take_along_axis(ids, order, axis=1),
            np.take_along_axis(found, order[:, :, None], axis=1),
        )


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


class _Scatter(_ByClass):
    """((class code, cell), packed rows) for each cell that needs a row."""

    def found(
        self, code: int, rows: Rows, known: _Route
    ) -> Iterator[tuple[tuple[int, int], bytes]]:
        space = _space(rows, known.penalty, self._job)
        candidate = np.zeros(len(space), bool)
        # The first copies of all rows are among the first copies of each part of them.
        candidate[space.first_copies(np.arange(len(space)), self._job.params.k_neighbors + 1)] = (
            True
        )
        words = _base_words(rows.ids, self._job)
        times, edge = known.copies.of(np.zeros(len(words), np.int64), words)
        base = (times > 0) | (edge & (words <= known.word))
        if known.cells is None:
            near = np.zeros((len(space), 1), np.int64)
        else:
            near = known.cells.nearest(cells.vectors(space), known.probes)
        goes = np.repeat(candidate[:, None], near.shape[1], axis=1)
        goes[:, 0] |= base
        row, probe = np.nonzero(goes)
        cell = near[row, probe]
        order = np.argsort(cell, kind="stable")
        row, probe, cell = row[order], probe[order], cell[order]
        packed = _packed(rows, self._job.features)[row]
        packed["base"] = base[row] & (probe == 0)
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        for start, stop in zip(starts, np.append(starts[1:], len(cell)), strict=True):
            yield (code, int(cell[start])), packed[start:stop].tobytes()


def _ask(found: tuple[int, _Sampled], job: Job, made: Plan) -> tuple[int, _Ask]:
    code, sampled = found
    assert sampled.rows is not None
    name = job.layout.classes[code]
    n = made.before[name]
    rows, distinct = sampled.rows, len(sampled.rows.ids)
    # As cells.search takes them: `distinct` is that of the whole class, or enough.
    n_queries = max(1, min(cells.SAMPLE_QUERIES, distinct // 2))
    rest = slice(n_queries if distinct > 1 else 0, None)
    training = rows.take(rest).take(slice(cells.training_rows(n)))
    fits = megabytes(n, job.features) <= job.params.memory_limit_mb
    copies = selection.Copies.exact(sampled.histogram, [made.new[code]])
    penalty = sampled.moments.median_deviation() if sampled.moments else 0.0
    whole = fits and n <= job.params.exact_rows
    return code, _Ask(whole, rows.take(slice(n_queries)), training, copies, penalty)


def _nearest_rows(ask: _Ask, rows: Rows, job: Job) -> _Nearest:
    """The k + 1 nearest of `rows` to each query, or all: rows that are the query among them."""
    s, n = len(ask.queries.ids), len(rows.ids)
    space = _space(Rows.concatenated([ask.queries, rows]), ask.penalty, job)
    most = min(job.params.k_neighbors + 1, n)
    found, far = nearest(space, most, np.arange(s), np.arange(s, s + n))
    return _Nearest(far, rows.ids[found - s], cells.vectors(space)[found])


def _route(
    found: tuple[int, _Ask],
    job: Job,
    made: Plan,
    near: dict[int, _Nearest],
    edges: dict[int, tuple[np.ndarray, np.ndarray]],
) -> tuple[int, _Route]:
    code, ask = found
    word, rest = np.uint64(0), 0
    if within := int(ask.copies.within[0]):
        words, counts = edges[code]
        ends = np.cumsum(counts)
        at = int(np.searchsorted(ends, within))
        word, rest = words[at], within - int(ends[at] - counts[at])
    if ask.whole:
        return code, _Route(None, 1, None, ask.copies, word, rest, ask.penalty)
    name = job.layout.classes[code]
    n = made.before[name]
    how = cells.plan(
        cells.vectors(_space(ask.training, ask.penalty, job)),
        cells.vectors(_space(ask.queries, ask.penalty, job)),
        _others(near[code], ask.queries.ids, job.params.k_neighbors),
        n,
        _seed(job),
        target=job.params.recall,
        max_asks=1,
    )
    _must_fit(name, n, how, job)
    return code, _Route(how.cells, how.probes, how.recall, ask.copies, word, rest, ask.penalty)


def _must_fit(name: str, n: int, how: cells.Plan, job: Job) -> None:
    params = job.params
    mean = megabytes(n * how.probes // len(how.cells), job.features)
    if mean > params.memory_limit_mb:
        raise UserError(
            f"rebalance.memory_limit_mb: {params.memory_limit_mb} MB do not hold the {mean:.0f} MB "
            f"of a cell of class {name} in which '{params.method}' finds rebalance.recall "
            f"{params.recall:g} of the neighbours; lower the recall, raise the limit if there is "
            "memory, or use over or under"
        )


def _others(found: _Nearest, ids: np.ndarray, k: int) -> np.ndarray:
    """float32 [s, k, d]: the nearest rows but the query itself.

    Of rows of the query's identity, all equal to it, one is the query; the others are neighbours.
    """
    own = found.ids == ids[:, None]
    own &= own.cumsum(axis=1) == 1
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found.vectors, order[:, :, None], axis=1)


def _recall(found: tuple[int, _Route]) -> Iterator[tuple[int, float]]:
    code, route = found
    if route.recall is not None:
        yield code, route.recall


def _synthesise(
    group: tuple[tuple[int, int], Iterable[bytes]], job: Job, routes: dict[int, _Route]
) -> Iterator[Frames]:
    """The synthetic rows of the bases of one cell."""
    (code, _), parts = group
    route = routes[code]
    rows, base = _unpacked(b"".join(parts), code, job.features)
    order = rows.canonical_order()
    split = _split(rows.take(order), job)
    bases = np.flatnonzero(base[order])
    words = _base_words(split.rows.ids[bases], job)
    uses, edge = route.copies.of(np.zeros(len(bases), np.int64), words)
    last = (words == route.word) & (split.rank[bases] < route.rest)
    uses += edge & ((words < route.word) | last)
    bases, uses = bases[uses > 0], uses[uses > 0]
    if not len(bases):
        return
    k = job.params.k_neighbors
    space = _space(split.rows, route.penalty, job)
    table, _ = cells.search_cell(space, k, bases)
    pool = np.arange(len(split))
    source = Source(code, bases, uses, pool, k, job.params.method, table=table)
    sampler = synthetic_sampler(job.params)
    total = int(uses.sum())
    for start in range(0, total, _TASK_ROWS):
        made, origin = synthesise(sampler, split, source, start, min(start + _TASK_ROWS, total))
        yield from synthetic_frames(made, origin, job.layout, job.params.provenance)


def _growing(
    parse: BlockParser, frames: Frames, made: Plan, job: Job
) -> Iterator[tuple[int, Rows]]:
    """(class code, its rows) of each class that grows."""
    block = parse(frames)
    chosen = np.isin(block.codes, list(made.new))
    if chosen.any():
        rows = rows_of(block, chosen, job.features, job.layout.classes)
        for code in np.unique(rows.codes).tolist():
            yield code, rows.take(rows.codes == code)


def _sample_limit(n: int) -> int:
    """Rows of a sample: twice the queries tell whether there are so many identities."""
    queries = cells.SAMPLE_QUERIES
    return max(2 * queries, queries + cells.training_rows(n))


def _split(rows: Rows, job: Job) -> Split:
    return Split(rows, job.layout.classes, job.features, job.params.seed)


def _space(rows: Rows, penalty: float, job: Job) -> Space:
    split = _split(rows, job)
    return Space(split.numeric, split.categories if _mixed(job) else None, penalty)


def _mixed(job: Job) -> bool:
    """Whether categories count in the distance."""
    return job.params.method == "smote_nc"


def _seed(job: Job) -> int:
    """Of sample and cells."""
    return job.params.seed % 2**32


def _base_words(ids: np.ndarray, job: Job) -> np.ndarray:
    """uint64 [n]: as `selection.uses_of` orders bases."""
    return hashing.keyed(ids, job.params.seed, "base")


def _packing(features: Features) -> np.dtype:
    """A row as it travels."""
    fields: list[Any] = [("id", "<i8"), ("base", "?")]
    for i, (name, kind) in enumerate(features.types.items()):
        shape = (features.widths[name],) if name in features.widths else ()
        fields.append((f"column{i}", "<i8" if kind == "int" else "<f4", shape))
    return np.dtype(fields)


def _packed(rows: Rows, features: Features) -> np.ndarray:
    packed = np.zeros(len(rows.ids), _packing(features))
    packed["id"] = rows.ids
    for i, name in enumerate(features.types):
        packed[f"column{i}"] = rows.columns[name]
    return packed


def _unpacked(packed: bytes, code: int, features: Features) -> tuple[Rows, np.ndarray]:
    """Rows and bool [n], whether each is a base here."""
    table = np.frombuffer(packed, _packing(features))
    columns = {
        name: np.ascontiguousarray(table[f"column{i}"]) for i, name in enumerate(features.types)
    }
    ids = np.ascontiguousarray(table["id"])
    return Rows(ids, np.full(len(table), code), columns), table["base"].copy()
