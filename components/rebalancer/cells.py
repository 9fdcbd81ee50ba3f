"""Nearest neighbours among many rows, in time almost linear in them: cells of a coarse quantizer.

An inverted file (Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", IEEE
TPAMI 33, 2011, section IV) whose probes are shared between the two sides: a row is a candidate in
its `probes` nearest cells and asks in its `asks` nearest ones. With one ask all that a row needs
lies in one cell, so that a distributed engine groups by cell once. With more the answers have to be
merged, but for the same recall far fewer cells hold the row: it is enough that one of several pairs
of cells meets. Both numbers are chosen by measuring the recall on sample rows.

The more rows, the more cells have to be asked for the same recall. So where all rows are in memory,
cells find only part of the neighbours, and local joins (`joins`) the rest, until the recall
measured is reached.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from .. import hashing
from .brute import closest
from .joins import join
from .neighbors import Index, Method, Space, in_threads, nearest
from .params import EXACT_ROWS, RECALL

SAMPLE_QUERIES: Final = 1000
CELL_ROWS: Final = 400
MAX_CELLS: Final = 16_384
MAX_PROBES: Final = 64
MAX_ASKS: Final = 4

_TRAIN_ROWS = 20  # a cell
_ITERATIONS = 10
_FLAT_CELLS = 256
_GROUP_TRAIN_ROWS = 80
_CHUNK_ROWS = 32_768
_BLOCK_ROWS = 32_768
_SIGNS = 32
_LEAST_CELL_ROWS = 100
_JOINED = 20  # neighbours of each row that take part in joins, at least
_JOINED_RECALL = 0.75  # before the first join
_JOIN_COMPARISONS = 4000  # of cells, which take as long as a join
_SPARE = 3  # neighbours more than are asked for that joins keep up to date
_ROUNDS = 10
_LEAST_GAIN = 0.002


@dataclass(frozen=True, eq=False)
class Cells:
    """A coarse quantizer. `centroids`: float [n_cells, d]; a cell's number is its row."""

    centroids: np.ndarray

    def __len__(self) -> int:
        return len(self.centroids)

    @classmethod
    def fit(cls, sample: np.ndarray, n_cells: int, k: int, seed: int) -> "Cells":
        """k-means centroids of a sample of the rows.

        Many cells are made within cells of cells, so that the time is that of n_cells**1.5.

        Args:
          sample: float32 [m, d], `vectors` of rows, in an order that repeats.
          n_cells: cells, about; those with k or fewer distinct sample rows are left out, so that
            in each cell every row finds k others.
          k: neighbours to be searched.
          seed: of the first centroids.
        """
        distinct = np.unique(sample, axis=0)
        n_cells = max(1, min(n_cells, len(distinct) // (k + 1)))
        if n_cells <= _FLAT_CELLS:
            cells = cls(_means(distinct, n_cells, seed))
        else:
            n_groups = round(n_cells**0.5)
            # Evenly from all: `distinct` is sorted.
            some = distinct[:: max(1, len(distinct) // (n_groups * _GROUP_TRAIN_ROWS))]
            of = cls(_means(some, n_groups, seed)).nearest(distinct, 1)[:, 0]
            parts = [distinct[of == group] for group in np.unique(of)]
            shares = [max(1, round(n_cells * len(part) / len(distinct))) for part in parts]
            centroids = [_means(part, c, seed) for part, c in zip(parts, shares, strict=True)]
            cells = cls(np.concatenate(centroids))
        sizes = np.bincount(cells.nearest(distinct, 1)[:, 0], minlength=len(cells))
        large = sizes > k
        large[sizes.argmax()] = True
        return cls(cells.centroids[large])

    def nearest(self, matrix: np.ndarray, p: int) -> np.ndarray:
        """int32 [n, p]: the p <= n_cells cells nearest to each row of `matrix` float32 [n, d].

        Nearest first; of equally near ones the lowest number.
        """
        middle = self.centroids.mean(axis=0, dtype=np.float64)
        points = self.centroids - middle
        found = np.empty((len(matrix), p), np.int32)
        for start in range(0, len(matrix), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            found[part] = closest(matrix[part] - middle, points, p)[0]
        return found


def _means(rows: np.ndarray, n: int, seed: int) -> np.ndarray:
    """[n, d], in the type of `rows`: k-means centroids."""
    # Starting from rows puts more cells where rows are dense, so that no cell is large.
    means = KMeans(n, init="random", n_init=1, max_iter=_ITERATIONS, random_state=seed)
    with threadpool_limits(limits=1):
        means.fit(rows.astype(np.float64))
    return np.asarray(means.cluster_centers_.astype(rows.dtype))


def vectors(space: Space) -> np.ndarray:
    """float [n, d]: rows whose distances are about those of the space, for choosing cells.

    Numeric features as they are. Categories become sums of pseudo-random signs, one vector for
    each value (Achlioptas, "Database-friendly random projections", JCSS 66, 2003), so that no list
    of all values is needed and the width stays small.
    """
    if space.categories is None or not space.penalty or not space.categories.shape[1]:
        return space.numeric
    signs = np.zeros((len(space), _SIGNS), np.float32)
    for i, column in enumerate(space.categories.T):
        words = hashing.keyed(np.ascontiguousarray(column), i, "cells")
        bits = (words[:, None] >> np.arange(_SIGNS, dtype=np.uint64)) & np.uint64(1)
        signs += 2 * bits.astype(np.float32) - 1
    # Two sign vectors differ in half the places, by 2.
    return np.hstack([space.numeric, signs * np.float32(space.penalty / np.sqrt(2 * _SIGNS))])


def sample_rows(ids: np.ndarray, seed: int) -> np.ndarray:
    """int64 [m]: the first row of each identity of `ids` int64 [n], in pseudo-random order."""
    distinct, first = np.unique(ids, return_index=True)
    return first[np.argsort(hashing.keyed(distinct, seed, "cells"), kind="stable")]


def recall_curves(
    cells: Cells, queries: np.ndarray, found: np.ndarray, max_asks: int = MAX_ASKS
) -> np.ndarray:
    """Recall of the search on some rows, for each number of asks and probes.

    A true neighbour is found if and only if it is a candidate where its row asks.

    Args:
      cells: the quantizer.
      queries: float32 [s, d], `vectors` of the rows.
      found: float32 [s, k, d], those of their true nearest neighbours.
      max_asks: cells, at most, in which a row asks.

    Returns:
      float64 [min(max_asks, n_cells), min(MAX_PROBES, n_cells)], the share of true neighbours found
      with 1, 2, ... asks and 1, 2, ... probes.
    """
    asked = cells.nearest(queries, min(max_asks, len(cells)))
    probed = cells.nearest(found.reshape(-1, found.shape[2]), min(MAX_PROBES, len(cells)))
    met = np.zeros(probed.shape, bool)
    curves = []
    for ask in np.repeat(asked, found.shape[1], axis=0).T:
        met |= probed == ask[:, None]
        curves.append(np.logical_or.accumulate(met, axis=1).mean(axis=0))
    return np.array(curves)


@dataclass(frozen=True, eq=False)
class Plan:
    """How to search. `recall`: measured on the sample rows."""

    cells: Cells
    asks: int
    probes: int
    recall: float


def plan(
    sample: np.ndarray,
    queries: np.ndarray,
    found: np.ndarray,
    n_rows: int,
    seed: int,
    *,
    target: float = RECALL,
    cell_rows: int = CELL_ROWS,
    max_asks: int = MAX_ASKS,
) -> Plan:
    """The asks and probes with the fewest comparisons that reach the recall, on any data.

    Where MAX_PROBES cells are too few for it, cells are made larger.

    Args:
      sample: float32 [m, d], `vectors` for `Cells.fit`; best `training_rows(n_rows)` of them, and
        none of the queries: a row is nearer to centroids that it was trained on.
      queries: see `recall_curves`.
      found: see `recall_curves`.
      n_rows: rows in all.
      seed: see `Cells.fit`.
      target: share of the true neighbours that is to be found, in (0, 1].
      cell_rows: rows in a cell, about.
      max_asks: see `recall_curves`.
    """
    n_cells = _n_cells(n_rows, cell_rows)
    while True:
        cells = Cells.fit(sample, n_cells, found.shape[1], seed)
        curves = recall_curves(cells, queries, found, max_asks)
        asks, probes = np.nonzero(curves >= target)
        if len(asks):
            best = ((asks + 1) * (probes + 1)).argmin()
            ask, probe = int(asks[best]), int(probes[best])
            return Plan(cells, ask + 1, probe + 1, float(curves[ask, probe]))
        n_cells = len(cells) // 2


def training_rows(n_rows: int, cell_rows: int = CELL_ROWS) -> int:
    """Rows that the quantizer is to be trained on."""
    return _TRAIN_ROWS * _n_cells(n_rows, cell_rows)


def _n_cells(n_rows: int, cell_rows: int) -> int:
    return max(1, min(n_rows // cell_rows, MAX_CELLS))


def search_cell(
    space: Space,
    k: int,
    queries: np.ndarray,
    among: np.ndarray | None = None,
    method: Method | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` to the rows that ask in a cell, in this thread.

    Args:
      space: rows of the cell, those that ask and the candidates, in canonical order.
      k: neighbours of each row; a cell of `Cells.fit` has enough.
      queries: int64 [q], indices of the rows that ask.
      among: int64 [m], the candidates, first copies only, ascending; None for all rows.
      method: see `nearest`; None for what is fast in a cell.

    Returns:
      int64 [q, k], row indices, and float64 [q, k], their distances.

    Raises:
      ValueError: a row finds fewer than k others.
    """
    if among is None:
        among = space.first_copies(np.arange(len(space)), k + 1)
    if method is not None:
        return Index(space, among, method).search(queries, k)
    rows, squared = _in_cell(space, k, queries, among)
    if (rows < 0).any():
        raise ValueError(f"{k} neighbours need more than {k} rows, found {len(among)}")
    return rows, np.sqrt(squared)


def _in_cell(
    space: Space, k: int, queries: np.ndarray, among: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As search_cell, squared distances; -1, infinitely far, where there are fewer than k."""
    embedded = space.embedded
    if sparse.issparse(embedded):
        rows, far = Index(space, among, "brute").search(queries, k)
        return rows, far**2
    place = np.minimum(np.searchsorted(among, queries), len(among) - 1)
    found, squared = closest(
        embedded[queries],
        embedded[among],
        k,
        lambda i, j: space.squared(queries[i], among[j][:, None])[:, 0],
        np.where(among[place] == queries, place, -1),
    )
    return np.where(found >= 0, among[found], -1), squared


def merge(rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """int64 [n, k]: the nearest different rows of several answers, by distance, then index.

    Args:
      rows: int64 [n, asks, k].
      distances: float64 [n, asks, k].
    """
    return _merged(rows, distances)[0]


def _merged(rows: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`merge` and the distances [n, k]; -1 are no rows and infinitely far."""
    k = rows.shape[2]
    rows, distances = (part.reshape(len(part), -1) for part in (rows, distances))
    order = np.lexsort((rows, distances), axis=1)
    rows, distances = (np.take_along_axis(part, order, axis=1) for part in (rows, distances))
    again = np.zeros(rows.shape, bool)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]
    first = again.argsort(axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, first, axis=1), np.take_along_axis(distances, first, axis=1)


def search(
    space: Space,
    k: int,
    ids: np.ndarray,
    seed: int,
    *,
    exact_rows: int = EXACT_ROWS,
    recall: float = RECALL,
    cell_rows: int | None = None,
    max_asks: int = MAX_ASKS,
    joins: bool = True,
    threads: int | None = None,
) -> tuple[np.ndarray, float]:
    """The k nearest neighbours of each row: exact for few rows, by cells for more.

    Args:
      space: n > k rows, in canonical order.
      k: neighbours of each row, itself left out by index.
      ids: int64 [n], identities.
      seed: of the sample and the cells.
      exact_rows: up to so many rows the search is exact; of equal ones k + 1 count.
      recall: share of the true neighbours that is to be found, at least, on the sample.
      cell_rows: rows in a cell, about; None for sqrt(n) / 3 with joins, CELL_ROWS without.
      max_asks: see `recall_curves`.
      joins: whether cells are to find some of the neighbours and local joins the rest. Rows with
        categories, and where joins do not reach the recall, are searched by cells alone.
      threads: at once; None for one a core. The result does not depend on it.

    Returns:
      int64 [n, k], row indices, nearest first; and the recall measured on SAMPLE_QUERIES rows of
      different identity, 1.0 if exact. What is as near as a true neighbour counts as one.

    Raises:
      ValueError: there are not more than k rows.
    """
    kept = space.first_copies(np.arange(len(space)), k + 1)
    if len(kept) <= exact_rows:
        return nearest(space, k, among=kept, threads=threads)[0], 1.0
    order = sample_rows(ids, seed)
    n_queries = max(1, min(SAMPLE_QUERIES, len(order) // 2))
    queries, rest = order[:n_queries], order[n_queries:] if len(order) > 1 else order
    true, far = _true(space, k, queries, kept, threads)
    matrix = vectors(space)

    by_joins = joins and matrix is space.numeric
    if cell_rows is None:
        # As many cells as balance the time to find a row's cells with that to search them.
        cell_rows = max(_LEAST_CELL_ROWS, round(len(space) ** 0.5 / 3)) if by_joins else CELL_ROWS
    sample = matrix[rest[: training_rows(len(space), cell_rows)]]

    def planned(target: float, max_asks: int) -> Plan:
        return plan(
            sample,
            matrix[queries],
            matrix[true],
            len(space),
            seed,
            target=target,
            cell_rows=cell_rows,
            max_asks=max_asks,
        )

    if by_joins:
        how = planned(min(recall, _JOINED_RECALL), 1)
        curve = recall_curves(how.cells, matrix[queries], matrix[true], 1)[0]
        enough = np.flatnonzero(curve >= recall)
        more = (enough[:1] + 1 - how.probes) * (len(space) // len(how.cells))
        if (more <= _JOIN_COMPARISONS).any():
            how = Plan(how.cells, 1, int(enough[0]) + 1, float(curve[enough[0]]))
            return _by_cells(space, k, how, matrix, kept, threads), how.recall
        found, reached = _joined(space, k, how, kept, recall, queries, far, threads)
        if reached >= recall:
            return found, reached
        del found
    how = planned(recall, max_asks)
    return _by_cells(space, k, how, matrix, kept, threads), how.recall


def _true(
    space: Space, k: int, queries: np.ndarray, kept: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` of a few among many rows, block by block: rows and squared distances."""

    def among(start: int) -> tuple[np.ndarray, np.ndarray]:
        block = kept[start : start + _BLOCK_ROWS]
        own = np.minimum(np.searchsorted(block, queries), len(block) - 1)
        # Queries that are not of the block come first.
        other = queries[block[own] != queries]
        part = space.take(np.append(other, block))
        asking = np.where(block[own] == queries, own + len(other), 0)
        asking[block[own] != queries] = np.arange(len(other))
        rows, far = _in_cell(part, k, asking, np.arange(len(other), len(part)))
        return np.where(rows >= 0, block[rows - len(other)], -1), far

    parts = in_threads(among, range(0, len(kept), _BLOCK_ROWS), threads)
    rows, far = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    order = np.lexsort((rows, far), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(far, order, axis=1)


def _joined(
    space: Space,
    k: int,
    how: Plan,
    kept: np.ndarray,
    recall: float,
    queries: np.ndarray,
    far: np.ndarray,
    threads: int | None,
) -> tuple[np.ndarray, float]:
    """int64 [n, k]: neighbours by cells and joins, and the recall on the queries."""
    n = len(space)
    cells = _cells_of(how, space.numeric, threads)
    # Near rows next to each other, so that joins read memory in order.
    order = np.argsort(cells[:, 0], kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    cells = cells[order]
    ordered = space.take(order)
    rows, squared = _search_cells(
        ordered, max(_JOINED, 2 * k), how, cells, np.sort(place[kept]), threads
    )
    del cells
    at = place[queries]

    def measured() -> float:
        found = rows[at, :k]
        there = ordered.squared(at, np.maximum(found, 0))
        reach = far[:, -1:] * (1 + 1e-9)
        return float(((there <= reach) & (found >= 0)).mean())

    reached, gain = measured(), 1.0
    for _ in range(_ROUNDS):
        if reached >= recall or gain < _LEAST_GAIN:
            break
        join(ordered.numeric, rows, squared, k + _SPARE, threads)
        before, reached = reached, measured()
        gain = reached - before

    result = np.empty((n, k), np.int64)
    for start in range(0, n, _CHUNK_ROWS):
        part = np.arange(start, min(start + _CHUNK_ROWS, n))
        exact = ordered.squared(part, np.maximum(rows[part], 0))
        exact[rows[part] < 0] = np.inf
        names = order[rows[part]]
        best = np.lexsort((names, exact), axis=1)[:, :k]
        result[order[part]] = np.take_along_axis(names, best, axis=1)
    return result, reached


def _by_cells(
    space: Space,
    k: int,
    how: Plan,
    matrix: np.ndarray,
    kept: np.ndarray,
    threads: int | None,
) -> np.ndarray:
    cells = _cells_of(how, matrix, threads)
    return _search_cells(space, k, how, cells, kept, threads)[0].astype(np.int64)


def _cells_of(how: Plan, matrix: np.ndarray, threads: int | None) -> np.ndarray:
    """int32 [n, max(asks, probes)], the cells nearest to each row."""
    wide = max(how.asks, how.probes)
    starts = range(0, len(matrix), _CHUNK_ROWS)
    return np.concatenate(
        in_threads(
            lambda start: how.cells.nearest(matrix[start : start + _CHUNK_ROWS], wide),
            starts,
            threads,
        )
    )


def _search_cells(
    space: Space, k: int, how: Plan, cells: np.ndarray, kept: np.ndarray, threads: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """int32 [n, k], neighbours, and float32 [n, k], their squared distances."""
    n, n_cells = len(space), len(how.cells)
    asking, slots = _by_cell(cells[:, : how.asks], np.arange(n), n_cells)
    probed = cells[:, : how.probes] if len(kept) == n else cells[kept, : how.probes]
    candidates, _ = _by_cell(probed, kept, n_cells)
    found = np.full((n, how.asks, k), -1, np.int32)
    squared = np.full((n, how.asks, k), np.inf, np.float32 if how.asks == 1 else np.float64)

    def fill(cell: int) -> None:
        if not len(asking[cell]) or not len(candidates[cell]):
            return
        rows = candidates[cell]
        queries = np.minimum(np.searchsorted(rows, asking[cell]), len(rows) - 1)
        among = np.arange(len(rows))
        if (rows[queries] != asking[cell]).any():
            rows = np.union1d(asking[cell], candidates[cell])
            queries, among = (np.searchsorted(rows, part[cell]) for part in (asking, candidates))
        answer, far = _in_cell(space.take(rows), k, queries, among)
        found[asking[cell], slots[cell]] = np.where(answer >= 0, rows[answer], -1)
        squared[asking[cell], slots[cell]] = far

    in_threads(fill, range(n_cells), threads)
    if how.asks == 1:
        return found[:, 0], squared[:, 0]
    merged = np.empty((n, k), np.int32)
    near = np.empty((n, k), np.float32)
    for start in range(0, n, _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        merged[part], near[part] = _merged(found[part], squared[part])
    return merged, near


def _by_cell(
    cells: np.ndarray, rows: np.ndarray, n_cells: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each cell the `rows` int64 [n], ascending, that name it in `cells` int32 [n, p], and
    the place at which they do."""
    n, p = cells.shape
    places = np.tile(np.arange(p, dtype=np.int8), n)
    named = sparse.csr_matrix((places, cells.ravel(), np.arange(0, n * p + 1, p)), (n, n_cells))
    named = named.tocsc()
    cuts = named.indptr[1:-1]
    return np.split(rows.astype(np.int32)[named.indices], cuts), np.split(named.data, cuts)
