"""Exact nearest neighbours; the search is scikit-learn's (brute force) or SciPy's (k-d tree).

Both are asked for some candidates more than needed. Those are ranked anew by exact distance and
row index, and where rows equally far could have been left out the search is repeated with more.
So a result depends on the rows and their order alone, whatever the search and the threads.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeVar

import joblib
import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from .. import hashing

Method = Literal["tree", "brute"]
_METHODS: Final[tuple[Method, ...]] = ("brute", "tree")
T = TypeVar("T")
R = TypeVar("R")

_SPARE = 8
_MORE = 8  # candidates are multiplied by this until they are certain, or
_MOST = 512  # so many, and then equally far rows are looked for in row order
_CHUNK_ROWS = 1024  # fixed: an effect of its size on rounding must not depend on threads
_SCAN_ROWS = 256
_DENSE_COLUMNS = 512
_TREE_COLUMNS = 8
_PILOT_ROWS = 128
_PILOT_AFTER = 4096
_RELATIVE = 1e-6  # bounds the error of the searched distances: the embedding's
_CANCELLED = 1e-12  # and that of |x|**2 - 2xy + |y|**2, as a share of |x|**2


@dataclass(frozen=True, eq=False)
class Space:
    """n rows, and how far apart two are.

    The squared distance is that of their numeric features plus penalty**2 for each category that
    differs (Chawla et al. 2002, section 6.1).

    Attributes:
      numeric: float32 or float64 [n, n_numeric], finite.
      categories: int64 [n, n_categorical], or None.
      penalty: distance of two rows that differ in one category only.
    """

    numeric: np.ndarray
    categories: np.ndarray | None = None
    penalty: float = 0.0

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, rows: np.ndarray) -> "Space":
        """The space of some rows: int64 [m] indices."""
        categories = None if self.categories is None else self.categories[rows]
        return Space(self.numeric[rows], categories, self.penalty)

    def squared(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """float64 [q, c]: squared distances of `rows` int64 [q] to `others` int64 [q, c]."""
        difference = self.numeric[others].astype(np.float64) - self.numeric[rows, None]
        squared = np.einsum("qcf,qcf->qc", difference, difference)
        if self._kinds is not None:
            differs = self._kinds[others] != self._kinds[rows, None]
            squared += self.penalty**2 * differs.sum(axis=2)
        return np.asarray(squared)

    @property
    def _kinds(self) -> np.ndarray | None:
        """The categories, if they count."""
        return self.categories if self.penalty else None

    @cached_property
    def embedded(self) -> np.ndarray | sparse.csr_matrix:
        """float64 [n, width], or as sparse: Euclidean distance of two rows is their distance."""
        # Centred, since the search computes |x|**2 - 2xy + |y|**2.
        numeric = self.numeric - self.numeric.mean(axis=0, dtype=np.float64)
        if self._kinds is None or not self._kinds.shape[1]:
            return numeric
        # Two one-hot vectors that differ are sqrt(2) apart.
        one_hot = OneHotEncoder().fit_transform(self._kinds) * (self.penalty / np.sqrt(2))
        matrix = sparse.hstack([sparse.csr_matrix(numeric), one_hot], format="csr")
        return matrix.toarray() if matrix.shape[1] <= _DENSE_COLUMNS else matrix

    def first_copies(self, among: np.ndarray, limit: int) -> np.ndarray:
        """`among` int64 [m] less those of which `limit` equal rows come before."""
        columns = [*self.numeric.T.astype(np.float64).view(np.int64)]
        columns += [] if self._kinds is None else [*self._kinds.T]
        words = np.zeros(len(among), np.uint64)
        for column in columns:
            words = hashing.splitmix64(words ^ column[among].view(np.uint64))
        order = np.argsort(words, kind="stable")
        starts = np.r_[True, np.diff(words[order]) != 0][: len(among)]
        first = np.maximum.accumulate(np.where(starts, np.arange(len(among)), 0))
        return among[np.sort(order[np.arange(len(among)) - first < limit])]


def nearest(
    space: Space,
    k: int,
    queries: np.ndarray | None = None,
    among: np.ndarray | None = None,
    threads: int | None = None,
    method: Method | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows nearest to each query, itself left out by index, nearest first.

    Rows equally far are taken in row order.

    Args:
      space: the rows.
      k: neighbours of each query, at least 1.
      queries: int64 [q], indices of rows; None for all.
      among: int64 [m], rows that may be neighbours, each once; None for all.
      threads: at once; None for one a core.
      method: of search, None for what seems faster; it decides on the time only.

    Returns:
      int64 [q, k], row indices, and float64 [q, k], their distances.

    Raises:
      ValueError: a query has fewer than k other rows in `among`.
    """
    queries = np.arange(len(space)) if queries is None else queries
    among = np.arange(len(space)) if among is None else np.sort(among)
    if len(among) < k + bool(np.isin(queries, among).any()):
        raise ValueError(f"{k} neighbours need more than {k} rows, found {len(among)}")
    # Later copies are nobody's neighbours, and many equal rows are all that a tree cannot divide.
    among = space.first_copies(among, k + 1)
    if method is None and min(len(queries), len(among)) >= _PILOT_AFTER:
        method = faster(space, k, queries, among)
    index = Index(space, among, method)
    found = in_threads(
        lambda start: index.search(queries[start : start + _CHUNK_ROWS], k),
        range(0, max(len(queries), 1), _CHUNK_ROWS),
        threads,
    )
    rows, distances = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(distances)


def faster(space: Space, k: int, queries: np.ndarray, among: np.ndarray) -> Method:
    """The method that is faster for such queries: both are tried on some of them."""
    pilot = queries[:: -(-len(queries) // _PILOT_ROWS)]
    seconds: dict[Method, float] = {}
    with threadpool_limits(limits=1):
        for method in _METHODS[: 1 if sparse.issparse(space.embedded) else 2]:
            index = Index(space, among, method)
            rounds = []
            for _ in range(2):  # the first warms up
                started = time.thread_time()
                index.candidates(pilot, min(k + 1 + _SPARE, len(among)))
                rounds.append(time.thread_time() - started)
            seconds[method] = min(rounds)
    return min(seconds, key=lambda method: seconds[method])


def in_threads(
    function: Callable[[T], R], arguments: Iterable[T], threads: int | None = None
) -> list[R]:
    """[function(a) for a in arguments], by so many threads (None: one a core) of one core each."""
    with (
        threadpool_limits(limits=1),
        # OpenMP's limit is each thread's own.
        ThreadPoolExecutor(
            threads or joblib.cpu_count(), initializer=lambda: threadpool_limits(limits=1)
        ) as pool,
    ):
        return list(pool.map(function, arguments))


class Index:
    """Some rows of a space, ready to be searched."""

    def __init__(self, space: Space, among: np.ndarray, method: Method | None = None) -> None:
        """`among`: int64 [m], rows in ascending order; None chooses the method by the width."""
        self._space = space
        self._among = among
        rows = space.embedded[among]
        dense = not sparse.issparse(rows)
        if method is None:
            method = "tree" if dense and rows.shape[1] <= _TREE_COLUMNS else "brute"
        self._tree = cKDTree(rows, balanced_tree=False) if method == "tree" and dense else None
        self._brute = None if self._tree else NearestNeighbors(algorithm="brute").fit(rows)

    def candidates(self, queries: np.ndarray, count: int) -> np.ndarray:
        """int64 [q, count], the rows nearest to each query, by approximate distance."""
        points = self._space.embedded[queries]
        if self._tree is not None:
            return self._among[self._tree.query(points, np.arange(1, count + 1))[1]]
        assert self._brute is not None
        return self._among[self._brute.kneighbors(points, count, return_distance=False)]

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [q, k] and distances float64 [q, k], as `nearest`, in this thread alone."""
        found = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k))
        for start in range(0, len(queries), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            found[part], distances[part] = self._search(queries[part], k)
        return found, np.sqrt(distances)

    def _search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and squared distances."""
        found = np.empty((len(queries), k), np.int64)
        distances = np.empty((len(queries), k))
        count = min(k + 1 + _SPARE, len(self._among))
        waiting = np.arange(len(queries))
        points = self._space.embedded[queries]
        norms = _norms(points)
        while len(waiting):
            rows = self.candidates(queries[waiting], count)
            squared = self._space.squared(queries[waiting], rows)
            squared[rows == queries[waiting, None]] = np.inf
            furthest = np.where(np.isinf(squared), 0, squared).max(axis=1)
            order = np.lexsort((rows, squared), axis=1)[:, :k]
            found[waiting] = rows = np.take_along_axis(rows, order, axis=1)
            distances[waiting] = squared = np.take_along_axis(squared, order, axis=1)
            if count == len(self._among):
                break
            certain = squared[:, -1] < furthest * (1 - _RELATIVE) - _CANCELLED * norms[waiting]
            waiting = waiting[~certain]
            if count >= _MOST:
                for part in np.array_split(waiting, -(-len(waiting) // _SCAN_ROWS) or 1):
                    self._settle(queries[part], found, distances, part)
                break
            count = min(count * _MORE, len(self._among))
        return found, distances

    def _settle(
        self, queries: np.ndarray, found: np.ndarray, distances: np.ndarray, part: np.ndarray
    ) -> None:
        """Replaces in found[part] the furthest by the first rows that are as far, in row order."""
        reach = distances[part, -1]
        filled = (distances[part] < reach[:, None]).sum(axis=1)
        k = found.shape[1]
        waiting = np.arange(len(part))
        for start in range(0, len(self._among), _SCAN_ROWS):
            block = self._among[start : start + _SCAN_ROWS]
            squared = self._space.squared(
                queries[waiting], np.broadcast_to(block, (len(waiting), len(block)))
            )
            equal = (squared == reach[waiting, None]) & (block != queries[waiting, None])
            slot = filled[waiting, None] + equal.cumsum(axis=1) - 1
            i, j = np.nonzero(equal & (slot < k))
            found[part[waiting[i]], slot[i, j]] = block[j]
            filled[waiting] += equal.sum(axis=1)
            waiting = waiting[filled[waiting] < k]
            if not len(waiting):
                return


def _norms(matrix: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """float64 [n], squared norms of the rows."""
    if isinstance(matrix, np.ndarray):
        return np.einsum("nf,nf->n", matrix, matrix)
    return np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
