"""Exact nearest neighbours among few thousand points, fast for many small searches.

Squared distances come from one matrix product in float32. What it rounds is bounded, so every point
that could be one of the nearest is kept, and those few are ranked by exact distance: the result
depends on the points alone, not on the batch, the processor or the library of linear algebra.
"""

from collections.abc import Callable

import numpy as np

_BLOCK = 1 << 17  # distances at once: stays in the processor's cache
_GROUPS = 32
_MOST_HITS = 6  # a neighbour; with more, float32 does not tell the points apart

Exact = Callable[[np.ndarray, np.ndarray], np.ndarray]


def closest(
    queries: np.ndarray,
    points: np.ndarray,
    k: int,
    exact: Exact | None = None,
    skipped: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k points nearest to each query, nearest first, of equally near ones the first.

    Args:
      queries: float [q, d]; best centred with the points, since large norms hide small distances.
      points: float [m, d].
      k: at least 1.
      exact: squared distances float64 [h] of pairs (query int64 [h], point int64 [h]), which the
        Euclidean one of `queries` and `points` approximates to within rounding; None for that.
      skipped: int64 [q], a point that is not an answer to the query, -1 for none.

    Returns:
      int64 [q, k], points, and float64 [q, k], their squared distances. Where there are fewer than
      k points -1, infinitely far.
    """
    found = np.full((len(queries), k), -1)
    squared = np.full((len(queries), k), np.inf)
    if exact is None:

        def exact(i: np.ndarray, j: np.ndarray) -> np.ndarray:
            difference = queries[i].astype(np.float64) - points[j]
            return np.asarray(np.einsum("hf,hf->h", difference, difference))

    if skipped is None:
        skipped = np.full(len(queries), -1)
    if not len(points):
        return found, squared
    single = _Products(points, k, np.dtype(np.float32))
    double: _Products | None = None
    size = max(8, _BLOCK // len(points))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        hits = single.hits(queries[part], skipped[part])
        if hits is None:
            double = double or _Products(points, k, np.dtype(np.float64))
            hits = double.hits(queries[part], skipped[part])
        assert hits is not None
        i, j = hits
        n = len(queries[part])
        ends = np.searchsorted(i, np.arange(n + 1))
        place = np.arange(len(i)) - ends[i]
        width = max(k, int(np.diff(ends).max(initial=0)))
        far = np.full((n, width), np.inf)
        far[i, place] = exact(i + start, j)
        which = np.full((n, width), -1)
        which[i, place] = j
        order = far.argsort(axis=1, kind="stable")[:, :k]
        found[part] = np.take_along_axis(which, order, axis=1)
        squared[part] = np.take_along_axis(far, order, axis=1)
    return found, squared


class _Products:
    """|y|**2 - 2xy of points y, and which of them can be among the k least."""

    def __init__(self, points: np.ndarray, k: int, kind: np.dtype) -> None:
        m, d = points.shape
        self._m, self._k, self._kind = m, k, kind
        self._groups = max(1, min(_GROUPS, m // (4 * k)))
        self._width = -(-m // self._groups)
        table = np.zeros((d + 1, self._groups * self._width), kind)
        table[:d, :m] = -2 * points.T.astype(kind)
        norms = np.einsum("mf,mf->m", points, points, dtype=np.float64)
        table[d, :m] = norms
        table[d, m:] = self._far = float(np.finfo(kind).max) / 4  # finite: 0 * inf is not a number
        self._table = table
        # Each of d + 1 products and sums is off by an eps of the sum of the absolute products.
        self._error = 4 * (d + 2) * float(np.finfo(kind).eps)
        self._norm = float(norms.max())

    def hits(
        self, queries: np.ndarray, skipped: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """int64 [h] queries, ascending, and int64 [h] points, ascending for each; None if many."""
        n = len(queries)
        extended = np.ones((n, queries.shape[1] + 1), self._kind)
        extended[:, :-1] = queries
        products = extended @ self._table
        skips = np.flatnonzero(skipped >= 0)
        products[skips, skipped[skips]] = self._far
        least = products
        if self._groups > 1:
            # The k-th least of the groups' minima is at least the k-th least of all.
            least = products.reshape(n, self._groups, self._width).min(axis=1)
        bound = np.full(n, np.inf)
        if self._k <= least.shape[1]:
            bound = np.partition(least, self._k - 1, axis=1)[:, self._k - 1].astype(np.float64)
        norms = np.einsum("qf,qf->q", queries, queries, dtype=np.float64)
        bound += self._error * (norms + self._norm)
        limit = np.minimum(bound, self._far / 2).astype(self._kind)
        flat = np.flatnonzero(products <= limit[:, None])
        if self._kind == np.float32 and len(flat) > _MOST_HITS * self._k * n and self._m > self._k:
            return None
        i, j = np.divmod(flat, products.shape[1])
        return i, j
