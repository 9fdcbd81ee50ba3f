"""Methods that decide on all rows by few of them, found while the others stream past, on Beam.

Where the rows that a sampler reads do not fit in one place, it gets those of the classes that it
holds, the rows that are near to them or rank first, and counts of all rows (`rows.Whole`). On these
it decides as it would on all, so that the result is the same, row for row.

Reads: one for the rows held; where the sampler asks for it, one each for a sample, for counts, for
near rows, for ranks; one more for the rows that these name, in each round.

Memory: the rows that the sampler gets, in one place and broadcast to those that stream past; of
near rows and ranks 24 bytes each on their way.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from .decisions import keys_of
from .merging import Merging
from .neighbors import Space, nearest
from .plan import Plan, must_fit
from .reading import Block, BlockDoFn, Job
from .rows import Rows, Split, Whole
from .samplers import SAMPLERS
from .samplers.base import Counter
from .selection import sample_of

_HELD_VALUES = 1 << 20  # of rows that wait in a worker to be looked at together


class Seen(NamedTuple):
    """What a sampler gets.

    Attributes:
      rows: in any order.
      whole: None where these are all.
    """

    rows: Rows
    whole: Whole | None


def streamed(
    read: Callable[[str], beam.PCollection], planned: beam.PCollection, job: Job
) -> beam.PCollection:
    """One Seen, of the rows that matter.

    Args:
      read: gives the examples, as Frames or as names of their files, for the step of that name.
      planned: one Plan.
      job: its sampler `streams`.

    Raises:
      UserError: (in a worker) these rows do not fit memory_limit_mb either.
    """
    sampler, made = SAMPLERS[job.params.method], AsSingleton(planned)
    parts = read("StreamHeld") | "ChooseHeld" >> beam.ParDo(_OfHeld(job), made)
    sample = None
    if sampler.sample_rows:
        sample = AsSingleton(
            read("StreamSample")
            | "SampleRows" >> beam.ParDo(_Sample(job))
            | "ThinSample" >> beam.CombineGlobally(_SampleFn(sampler.sample_rows, job))
        )
    held = (
        parts
        | "GatherHeld" >> beam.combiners.ToList()
        | "JoinHeld" >> beam.Map(_joined, job, made, sample)
    )
    needs = sampler.streams or ()
    if "counter" in needs:
        counts = (
            read("StreamCount")
            | "CountValues" >> beam.ParDo(_Count(job), AsSingleton(held))
            | "AddCounts" >> beam.CombineGlobally(_AddFn()).without_defaults()
        )
        held = held | "WithCounts" >> beam.Map(_with_counts, AsSingleton(counts))
    finders = {"asks": _Near(job), "ranks": _Ranked(job)}
    hooks = [hook for hook in needs if hook in finders]
    seen, keys = held, []
    for turn in range(sampler.rounds if hooks else 0):
        for hook in hooks:
            found = (
                read(f"Stream/{hook}{turn}")
                | f"Find/{hook}{turn}" >> beam.ParDo(finders[hook], AsSingleton(seen), made)
                | f"First/{hook}{turn}" >> beam.CombinePerKey(_FirstFn())
                | f"Keys/{hook}{turn}" >> beam.CombineGlobally(_KeysFn())
            )
            keys.append(AsSingleton(found))
        named = (
            read(f"StreamNamed{turn}")
            | f"ChooseNamed{turn}" >> beam.ParDo(_Named(job), made, *keys)
            | f"GatherNamed{turn}" >> beam.combiners.ToList()
        )
        seen = held | f"JoinNamed{turn}" >> beam.Map(_with_rows, AsSingleton(named), job)
    return seen


def _held_codes(job: Job, made: Plan) -> np.ndarray:
    names = SAMPLERS[job.params.method].held(made.before, made.after)
    return np.array([job.layout.classes.index(name) for name in names], np.int64)


def _split(rows: Rows, job: Job, whole: Whole | None = None) -> Split:
    return Split(rows, job.layout.classes, job.features, job.params.seed, whole)


def _joined(parts: list[Rows], job: Job, made: Plan, sample: Rows | None) -> Seen:
    rows = np.array([made.before[name] for name in job.layout.classes])
    return Seen(Rows.concatenated(parts).ordered(), Whole(rows, sample=sample))


def _with_counts(held: Seen, counts: tuple[np.ndarray, ...]) -> Seen:
    assert held.whole is not None
    return Seen(held.rows, Whole(held.whole.rows, counts, held.whole.sample))


def _with_rows(held: Seen, parts: list[Rows], job: Job) -> Seen:
    rows = Rows.concatenated([held.rows, *parts]).ordered()
    must_fit(len(rows.ids), "the rows that decide", job.features, job.params, "stream")
    return Seen(rows, held.whole)


class _OfHeld(BlockDoFn):
    """The rows of the classes held."""

    def of(self, block: Block, made: Plan) -> Iterator[Rows]:
        yield self.rows(block, np.isin(block.codes, _held_codes(self._job, made)))


class _Named(BlockDoFn):
    """The other rows of some keys, uint64 arrays."""

    def of(self, block: Block, made: Plan, *keys: np.ndarray) -> Iterator[Rows]:
        named = np.isin(keys_of(block.ids, block.codes), np.concatenate(keys))
        chosen = named & ~np.isin(block.codes, _held_codes(self._job, made))
        if chosen.any():
            yield self.rows(block, chosen)


class _Sample(BlockDoFn):
    """The rows that may be of the sample."""

    def of(self, block: Block) -> Iterator[Rows]:
        n = SAMPLERS[self._job.params.method].sample_rows
        chosen = np.zeros(len(block.ids), bool)
        chosen[sample_of(block.ids, n, self._job.params.seed)] = True
        yield self.rows(block, chosen)


class _SampleFn(beam.CombineFn):
    """Merges Rows into those with the smallest hashes, in canonical order."""

    def __init__(self, n: int, job: Job) -> None:
        self._n, self._seed = n, job.params.seed

    def create_accumulator(self) -> list[Rows]:
        return []

    def add_input(self, parts: list[Rows], rows: Rows) -> list[Rows]:
        parts.append(rows)
        # Cut now and then, so that it takes little time a row.
        return parts if sum(len(p.ids) for p in parts) < 2 * self._n else [self._thinned(parts)]

    def merge_accumulators(self, parts: Iterable[list[Rows]]) -> list[Rows]:
        return [self._thinned([rows for part in parts for rows in part])]

    def extract_output(self, parts: list[Rows]) -> Rows:
        return self._thinned(parts)

    def _thinned(self, parts: list[Rows]) -> Rows:
        rows = Rows.concatenated(parts).ordered()
        return rows.take(sample_of(rows.ids, self._n, self._seed))


class _InBulk(BlockDoFn):
    """What `found` gives of many rows at a time."""

    def start_bundle(self) -> None:
        self._waiting: list[Rows] = []
        self._known: tuple[Any, ...] = ()

    def of(self, block: Block, *known: Any) -> Iterator[Any]:
        self._known = known
        self._waiting.append(self.rows(block))
        waiting = sum(len(rows.ids) for rows in self._waiting)
        if waiting * self._job.features.values >= _HELD_VALUES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for found in self._flush():
            yield WindowedValue(found, window.max_timestamp(), [window])

    def _flush(self) -> Iterator[Any]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            yield from self.found(Rows.concatenated(waiting).ordered(), *self._known)

    @abstractmethod
    def found(self, rows: Rows, *known: Any) -> Iterator[Any]:
        """Of rows in canonical order; `known` are the side inputs."""


class _Count(_InBulk):
    """The sampler's counts."""

    _counter: Counter | None = None

    def found(self, rows: Rows, *known: Any) -> Iterator[tuple[np.ndarray, ...]]:
        (held,) = known
        if not len(held.rows.ids):  # no class grows
            yield ()
            return
        if self._counter is None:
            sampler = SAMPLERS[self._job.params.method]
            split = _split(held.rows, self._job, held.whole)
            self._counter = sampler.counter(split, self._job.params)
        yield self._counter(_split(rows, self._job))


class _AddFn(Merging):
    """Adds tuples of arrays up."""

    def merged(self, parts: list[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        return tuple(np.sum(arrays, axis=0) for arrays in zip(*parts, strict=True))


class _Firsts(NamedTuple):
    """For each of q questions, the rows that come first: by a number, then identity and class.

    Attributes:
      numbers: float64 [q, m], infinite where there is no row.
      ids: int64 [q, m].
      codes: int64 [q, m].
      most: so many rows are kept.
    """

    numbers: np.ndarray
    ids: np.ndarray
    codes: np.ndarray
    most: int


class _Near(_InBulk):
    """(number of the sampler's ask, _Firsts of its rows, by distance)."""

    def found(self, rows: Rows, *known: Any) -> Iterator[tuple[str, _Firsts]]:
        held, _ = known
        sampler = SAMPLERS[self._job.params.method]
        asks = sampler.asks(_split(held.rows, self._job, held.whole), self._job.params)
        for number, ask in enumerate(asks):
            others = rows.take(np.isin(rows.codes, ask.among))
            q, n = len(ask.rows), len(others.ids)
            if not q or not n:
                continue
            both = _split(Rows.concatenated([held.rows.take(ask.rows), others]), self._job)
            # One more than asked for: it may be the row itself.
            k = min(ask.k + 1, n)
            near, far = nearest(Space(both.numeric), k, np.arange(q), np.arange(q, q + n))
            near -= q
            yield f"{number}", _Firsts(far, others.ids[near], others.codes[near], ask.k + 1)


class _Ranked(_InBulk):
    """(class, _Firsts of one question, by the sampler's ranks)."""

    def found(self, rows: Rows, *known: Any) -> Iterator[tuple[str, _Firsts]]:
        held, made = known
        sampler, classes = SAMPLERS[self._job.params.method], self._job.layout.classes
        reference = _split(held.rows, self._job, held.whole)
        for code in np.setdiff1d(rows.codes, _held_codes(self._job, made)):
            name = classes[code]
            most = made.after[name]
            if most >= made.before[name]:
                continue
            mine = rows.take(rows.codes == code)
            numbers = sampler.ranks(reference, _split(mine, self._job), self._job.params)
            first = np.argsort(numbers, kind="stable")[:most]
            ranked = numbers[None, first], mine.ids[None, first], mine.codes[None, first]
            yield name, _Firsts(*ranked, most)


class _FirstFn(Merging):
    """Merges _Firsts of the same questions."""

    def merged(self, parts: list[_Firsts]) -> _Firsts:
        numbers = np.concatenate([part.numbers for part in parts], axis=1)
        ids = np.concatenate([part.ids for part in parts], axis=1)
        codes = np.concatenate([part.codes for part in parts], axis=1)
        most = parts[0].most
        order = np.lexsort((codes, ids, numbers), axis=1)[:, :most]
        return _Firsts(
            np.take_along_axis(numbers, order, axis=1),
            np.take_along_axis(ids, order, axis=1),
            np.take_along_axis(codes, order, axis=1),
            most,
        )


class _KeysFn(beam.CombineFn):
    """Merges (question, _Firsts) into the keys of their rows, uint64 [m], ascending."""

    def create_accumulator(self) -> np.ndarray:
        return np.empty(0, np.uint64)

    def add_input(self, keys: np.ndarray, found: tuple[str, _Firsts]) -> np.ndarray:
        _, firsts = found
        return np.union1d(keys, keys_of(firsts.ids.ravel(), firsts.codes.ravel()))

    def merge_accumulators(self, parts: Iterable[np.ndarray]) -> np.ndarray:
        return np.unique(np.concatenate([*parts, np.empty(0, np.uint64)]))

    def extract_output(self, keys: np.ndarray) -> np.ndarray:
        return keys
