"""Rows and their nearest ones, brought together on Beam where they do not fit in one place.

The rows of a group, those of one class or all, are cut into the cells of a coarse quantizer
(`cells`), with one ask: a row is a candidate in its `probes` nearest cells and looks for its
neighbours in the nearest one, where it is at home. So one GroupByKey brings together all that a row
needs, and what is made of it is made right there. Three reads of the rows come before: a sample of
each group; the true neighbours of some sample rows among all rows, by which `cells.plan` measures
its recall; the rows themselves, by cell.

What is found is that of `cells.search` by cells alone with one ask in one place: it depends on
identities, values and seed, not on how the input is cut. A group of at most `exact_rows` rows that
fits in one place is one cell. Equal rows are at home in one cell.

Memory: what crosses a stage are up to `probes` copies of the features of the rows, packed: in a
cluster they lie in its shuffle, and a worker holds one cell at a time. Beam's local runner has them
in memory, about three times over while it groups, so that on one machine a larger memory_limit_mb
takes less. Besides, at most 1,000 + 20 * 16,384 rows of a group are broadcast.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsDict
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from .. import hashing
from ..errors import UserError
from ..names import ROW_ID
from . import cells
from .merging import Merging
from .neighbors import Space, nearest
from .plan import megabytes
from .reading import Job
from .rows import COPIED, Rows, Split

ALL: Final = -1
"""The group of all rows; that of a class is its code."""

_HELD_VALUES = 1 << 20  # of rows that wait in a worker to be looked at together


class Part(NamedTuple):
    """Some rows of a group, and how many it has in all."""

    rows: Rows
    total: int


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
      name: begins the names of the steps.
      k: neighbours of a row.
      job: its features tell how far apart rows are.
    """

    name: str
    k: int
    job: Job

    @property
    def mixed(self) -> bool:
        """Whether categories count in the distance."""
        return self.job.params.method == "smote_nc"

    @property
    def seed(self) -> int:
        """Of sample and cells."""
        return self.job.params.seed % 2**32

    def split(self, rows: Rows) -> Split:
        """Rows as samplers see them."""
        return Split(rows, self.job.layout.classes, self.job.features, self.job.params.seed)

    def space(self, rows: Rows, penalty: float) -> Space:
        """How far apart rows are; for `penalty` see there."""
        split = self.split(rows)
        return Space(split.numeric, split.categories if self.mixed else None, penalty)


class Route(NamedTuple):
    """Where rows of a group go.

    Attributes:
      cells: None for one cell.
      probes: cells in which a row is a candidate.
      recall: None where the search is exact.
      penalty: see `Space`.
    """

    cells: cells.Cells | None
    probes: int
    recall: float | None
    penalty: float


class Cell(NamedTuple):
    """The rows of a cell.

    Attributes:
      group: they are of.
      split: candidates and rows at home, in canonical order.
      home: int64 [h], indices of those whose neighbours are looked for here.
      space: of the split.
    """

    group: int
    split: Split
    home: np.ndarray
    space: Space


def find_routes(
    search: Search,
    sample: beam.PCollection,
    rows: beam.PCollection,
    penalties: AsDict | None = None,
) -> beam.PCollection:
    """Decides on the cells.

    Args:
      search: what is looked for.
      sample: (group, Part) of all rows.
      rows: the same, of another read.
      penalties: group -> penalty, see `Space`; where it is not given they are 0.

    Returns:
      (group, Route).

    Raises:
      UserError: (in a worker) cells in which so much of the neighbours is found do not fit
        memory_limit_mb either.
    """
    asked = (
        sample
        | f"{search.name}Sample" >> beam.CombinePerKey(_SampleFn(search.seed))
        | f"{search.name}Ask" >> beam.Map(_ask, search, {} if penalties is None else penalties)
    )
    near = (
        rows
        | f"{search.name}Search" >> beam.ParDo(_Search(search), AsDict(asked))
        | f"{search.name}Nearest" >> beam.CombinePerKey(_NearFn(search.k))
    )
    return asked | f"{search.name}Plan" >> beam.Map(_route, search, AsDict(near))


def in_cells(search: Search, rows: beam.PCollection, routes: beam.PCollection) -> beam.PCollection:
    """The Cells of rows, (group, Part), by what `find_routes` decided."""
    return (
        rows
        | f"{search.name}Scatter"
        >> beam.ParDo(_Scatter(search), AsDict(routes)).with_output_types(
            tuple[tuple[int, int], tuple[bytes, list[bytes]]]
        )
        | f"{search.name}Group" >> beam.GroupByKey()
        | f"{search.name}Cell" >> beam.Map(_cell, search, AsDict(routes))
    )


def recall_of(search: Search, routes: beam.PCollection) -> beam.PCollection:
    """(group, recall measured) of (group, Route), where the search is not exact."""

    def measured(found: tuple[int, Route]) -> Iterator[tuple[int, float]]:
        group, route = found
        if route.recall is not None:
            yield group, route.recall

    return routes | f"{search.name}Recall" >> beam.FlatMap(measured)


class _Ask(NamedTuple):
    """What is known of a group before its neighbours are looked for.

    Attributes:
      total: its rows.
      whole: whether it is one cell, searched exactly, so that nothing has to be measured.
      queries: rows whose true neighbours tell the recall.
      training: rows that the quantizer is trained on.
      penalty: see `Space`.
    """

    total: int
    whole: bool
    queries: Rows
    training: Rows
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


class _SampleFn(beam.CombineFn):
    """Merges Parts of a group into the sample of it, itself a Part."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def create_accumulator(self) -> Part | None:
        return None

    def add_input(self, found: Part | None, part: Part) -> Part:
        if found is None:
            return self._thinned(part)
        rows = part.rows
        if len(found.rows.ids) >= _sample_limit(found.total):
            last = hashing.keyed(found.rows.ids[-1:], self._seed, "cells")
            rows = rows.take(hashing.keyed(rows.ids, self._seed, "cells") <= last)
        return self._thinned(Part(Rows.concatenated([found.rows, rows]), part.total))

    def merge_accumulators(self, parts: Iterable[Part | None]) -> Part | None:
        total = self.create_accumulator()
        for part in parts:
            if part is not None:
                total = self.add_input(total, part)
        return total

    def extract_output(self, found: Part | None) -> Part | None:
        return found

    def _thinned(self, part: Part) -> Part:
        rows = part.rows.ordered()
        first = cells.sample_rows(rows.ids, self._seed)[: _sample_limit(part.total)]
        return Part(rows.take(first), part.total)


class _Held(beam.DoFn, ABC):
    """(group, Part) -> what `found` gives of many rows of a group at a time."""

    def __init__(self, search: Search) -> None:
        self._search = search

    def start_bundle(self) -> None:
        self._held: dict[int, list[Rows]] = {}
        self._values = 0
        self._known: dict[int, Any] = {}

    def process(self, part: tuple[int, Part], known: dict[int, Any]) -> Iterator[Any]:
        group, (rows, _) = part
        self._known = known
        self._held.setdefault(group, []).append(rows)
        self._values += len(rows.ids) * self._search.job.features.values
        if self._values >= _HELD_VALUES:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for found in self._flush():
            yield WindowedValue(found, window.max_timestamp(), [window])

    def _flush(self) -> Iterator[Any]:
        held, self._held, self._values = self._held, {}, 0
        for group, parts in held.items():
            yield from self.found(group, Rows.concatenated(parts).ordered(), self._known[group])

    @abstractmethod
    def found(self, group: int, rows: Rows, known: Any) -> Iterator[Any]:
        """Of rows of one group in canonical order; `known` is what the side input has of it."""


class _Search(_Held):
    """(group, _Nearest) of its queries."""

    def found(self, group: int, rows: Rows, known: _Ask) -> Iterator[tuple[int, _Nearest]]:
        if known.whole:
            return
        s, n = len(known.queries.ids), len(rows.ids)
        space = self._search.space(Rows.concatenated([known.queries, rows]), known.penalty)
        # One more than k: it may be the query itself.
        most = min(self._search.k + 1, n)
        found, far = nearest(space, most, np.arange(s), np.arange(s, s + n))
        yield group, _Nearest(far, rows.ids[found - s], cells.vectors(space)[found])


class _NearFn(Merging):
    """Merges _Nearest of the same queries. One more than `k` are kept: one may be the query."""

    def __init__(self, k: int) -> None:
        self._most = k + 1

    def merged(self, parts: list[_Nearest]) -> _Nearest:
        distances, ids, found = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        order = np.lexsort((ids, distances), axis=1)[:, : self._most]
        return _Nearest(
            np.take_along_axis(distances, order, axis=1),
            np.take_along_axis(ids, order, axis=1),
            np.take_along_axis(found, order[:, :, None], axis=1),
        )


class _Scatter(_Held):
    """((group, cell), packed rows) for each cell that needs a row."""

    def found(
        self, group: int, rows: Rows, known: Route
    ) -> Iterator[tuple[tuple[int, int], tuple[bytes, list[bytes]]]]:
        space = self._search.space(rows, known.penalty)
        # The first copies of all rows are among the first copies of each part of them.
        first = space.first_copies(np.arange(len(space)), self._search.k + 1)
        if known.cells is None:
            near = np.zeros((len(space), 1), np.int64)
        else:
            near = known.cells.nearest(cells.vectors(space), known.probes)
        goes = np.zeros(near.shape, bool)
        goes[first] = True
        goes[:, 0] = True
        row, probe = np.nonzero(goes)
        cell = near[row, probe]
        order = np.argsort(cell, kind="stable")
        row, probe, cell = row[order], probe[order], cell[order]
        packed = _packed(rows, self._search.job)[row]
        packed["home"] = probe == 0
        copied = rows.columns[COPIED][row] if COPIED in rows.columns else np.empty(0, object)
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        for start, stop in zip(starts, np.append(starts[1:], len(cell)), strict=True):
            part = slice(start, stop)
            yield (group, int(cell[start])), (packed[part].tobytes(), copied[part].tolist())


def _ask(
    sampled: tuple[int, Part], search: Search, penalties: dict[int, float]
) -> tuple[int, _Ask]:
    group, (rows, total) = sampled
    params = search.job.params
    distinct = len(rows.ids)
    # As cells.search takes them: `distinct` is that of the whole group, or enough.
    n_queries = max(1, min(cells.SAMPLE_QUERIES, distinct // 2))
    rest = slice(n_queries if distinct > 1 else 0, None)
    training = rows.take(rest).take(slice(cells.training_rows(total)))
    fits = megabytes(total, search.job.features) <= params.memory_limit_mb
    whole = fits and total <= params.exact_rows
    queries = rows.take(slice(n_queries))
    return group, _Ask(total, whole, queries, training, penalties.get(group, 0.0))


def _route(asked: tuple[int, _Ask], search: Search, near: dict[int, _Nearest]) -> tuple[int, Route]:
    group, ask = asked
    if ask.whole:
        return group, Route(None, 1, None, ask.penalty)
    how = cells.plan(
        cells.vectors(search.space(ask.training, ask.penalty)),
        cells.vectors(search.space(ask.queries, ask.penalty)),
        _others(near[group], ask.queries.ids, search.k),
        ask.total,
        search.seed,
        target=search.job.params.recall,
        max_asks=1,
    )
    _must_fit(group, ask.total, how, search.job)
    return group, Route(how.cells, how.probes, how.recall, ask.penalty)


def _must_fit(group: int, total: int, how: cells.Plan, job: Job) -> None:
    params = job.params
    mean = megabytes(total * how.probes // len(how.cells), job.features)
    if mean > params.memory_limit_mb:
        of = "all rows" if group == ALL else f"class {job.layout.classes[group]}"
        raise UserError(
            f"rebalance.memory_limit_mb: {params.memory_limit_mb} MB do not hold the {mean:.0f} MB "
            f"of a cell of {of} in which '{params.method}' finds rebalance.recall "
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


def _sample_limit(total: int) -> int:
    """Rows of a sample: twice the queries tell whether there are so many identities."""
    queries = cells.SAMPLE_QUERIES
    return max(2 * queries, queries + cells.training_rows(total))


def _cell(
    grouped: tuple[tuple[int, int], Iterable[tuple[bytes, list[bytes]]]],
    search: Search,
    routes: dict[int, Route],
) -> Cell:
    (group, _), parts = grouped
    rows, home = _unpacked(parts, search.job)
    order = rows.canonical_order()
    rows = rows.take(order)
    space = search.space(rows, routes[group].penalty)
    return Cell(group, search.split(rows), np.flatnonzero(home[order]), space)


def _packing(job: Job) -> np.dtype:
    """A row as it travels."""
    features = job.features
    fields: list[Any] = [("id", "<i8"), ("code", "<i8"), ("home", "?")]
    if job.params.provenance:
        fields.append((ROW_ID, "<i8"))
    for i, (name, kind) in enumerate(features.types.items()):
        shape = (features.widths[name],) if name in features.widths else ()
        fields.append((f"column{i}", "<i8" if kind == "int" else "<f4", shape))
    return np.dtype(fields)


def _packed(rows: Rows, job: Job) -> np.ndarray:
    packed = np.zeros(len(rows.ids), _packing(job))
    packed["id"], packed["code"] = rows.ids, rows.codes
    if job.params.provenance:
        packed[ROW_ID] = rows.columns[ROW_ID]
    for i, name in enumerate(job.features.types):
        packed[f"column{i}"] = rows.columns[name]
    return packed


def _unpacked(parts: Iterable[tuple[bytes, list[bytes]]], job: Job) -> tuple[Rows, np.ndarray]:
    """Rows and bool [n], whether each is at home here."""
    features = job.features
    packed, copied = zip(*parts, strict=True)
    table = np.frombuffer(b"".join(packed), _packing(job))
    columns = {
        name: np.ascontiguousarray(table[f"column{i}"]) for i, name in enumerate(features.types)
    }
    if job.params.provenance:
        columns[ROW_ID] = np.ascontiguousarray(table[ROW_ID])
    if features.copied:
        columns[COPIED] = np.array([values for part in copied for values in part], object)
    ids, codes = (np.ascontiguousarray(table[name]) for name in ("id", "code"))
    return Rows(ids, codes, columns), table["home"].copy()
