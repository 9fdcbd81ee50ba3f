"""Neighbour lists made better by each other: neighbours of neighbours are likely neighbours.

NN-descent (Dong, Charikar and Li, "Efficient k-nearest neighbor graph construction for generic
similarity measures", WWW 2011), in rounds over all rows: those that have a row as neighbour or are
its neighbours are compared with each other.
"""

from typing import Final

import numpy as np
from scipy import sparse

from .neighbors import in_threads

REVERSE: Final = 20

_CHUNK_ROWS = 64  # what belongs to them stays in the processor's cache
_MERGE_ROWS = 2048
_BAND_ROWS = 1 << 16  # between merges: bounds the memory of what was found
_FAR = np.float32(1e30)


def join(
    points: np.ndarray,
    rows: np.ndarray,
    squared: np.ndarray,
    best: int,
    threads: int | None = None,
) -> None:
    """One round of local joins: nearer neighbours replace those in `rows` and `squared`.

    Args:
      points: float [n, d]; near rows best lie near each other in memory.
      rows: int32 [n, k], neighbours of each point, nearest first, different ones; -1 for none.
      squared: float32 [n, k], their squared distances, infinite for none.
      best: neighbours of each point that count; only what is nearer than the last of them is taken.
      threads: at once; the result does not depend on it.
    """
    n = len(points)
    around = _around(rows)
    reach = np.empty(n, np.float32)  # together in memory

    def better(start: int) -> np.ndarray:
        part = slice(start, start + _CHUNK_ROWS)
        return _better(points, rows, reach, around[part], points[part])

    for band in range(0, n, _BAND_ROWS):
        reach[:] = squared[:, best - 1]
        starts = range(band, min(band + _BAND_ROWS, n), _CHUNK_ROWS)
        pairs = np.unique(np.concatenate(in_threads(better, starts, threads)))
        cuts = np.searchsorted(pairs, np.arange(_MERGE_ROWS, n, _MERGE_ROWS) * n)
        parts = [part for part in np.split(pairs, cuts) if len(part)]
        in_threads(lambda part: _merge(points, rows, squared, part), parts, threads)


def _around(rows: np.ndarray) -> np.ndarray:
    """int32 [n, 1 + k + REVERSE]: each row, its neighbours, and others that have it as neighbour,
    nearest ranks first; -1 for none."""
    n, k = rows.shape
    around = np.full((n, 1 + k + REVERSE), -1, np.int32)
    around[:, 0] = np.arange(n)
    around[:, 1 : k + 1] = rows
    filled = np.zeros(n, np.int64)
    for heads in rows.T:
        tails = np.flatnonzero(heads >= 0)
        bands = np.split(tails, range(_BAND_ROWS, len(tails), _BAND_ROWS))
        # Mutual neighbours are there already.
        tails = np.concatenate(
            [band[(rows[heads[band]] != band[:, None]).all(axis=1)] for band in bands]
        )
        # By head, ascending for each: a sort in linear time.
        links = sparse.csr_matrix(
            (np.ones(len(tails), bool), heads[tails], np.arange(len(tails) + 1)), (len(tails), n)
        ).tocsc()
        counts = np.diff(links.indptr)
        named = np.repeat(np.arange(n), counts)
        place = filled[named] + np.arange(len(named)) - links.indptr[named]
        first = place < REVERSE
        around[named[first], 1 + k + place[first]] = tails[links.indices[first]]
        filled += counts
    return around


def _better(
    points: np.ndarray,
    rows: np.ndarray,
    reach: np.ndarray,
    around: np.ndarray,
    middle: np.ndarray,
) -> np.ndarray:
    """int64 [h], one * n + other: pairs around the same row that are nearer than reach[one].

    Args:
      points: float32 [n, d].
      rows: int32 [n, k]; pairs that are there already are left out.
      reach: float32 [n], squared distances.
      around: int32 [m, w], of `_around`, for m rows.
      middle: float32 [m, d], these rows.
    """
    known = around >= 0
    # Relative to the row in the middle, so that distances keep their digits.
    local = points[around] - middle[:, None]
    norms = np.einsum("zif,zif->zi", local, local)
    n, width, d = local.shape
    # One product gives |x|**2 - reach(x) - 2xy + |y|**2.
    left = np.ones((n, width, d + 2), np.float32)
    np.multiply(local, -2, out=left[:, :, :d])
    left[:, :, d + 1] = np.where(known, norms - np.minimum(reach[around], _FAR), _FAR)
    right = np.ones((n, d + 2, width), np.float32)
    right[:, :d] = local.transpose(0, 2, 1)
    right[:, d] = np.where(known, norms, _FAR)
    apart = left @ right
    z, i, j = np.unravel_index(np.flatnonzero(apart < 0), apart.shape)
    pairs = np.unique(around[z, i].astype(np.int64) * len(points) + around[z, j])
    one, other = np.divmod(pairs, len(points))
    return pairs[(rows[one] != other[:, None]).all(axis=1) & (one != other)]


def _merge(points: np.ndarray, rows: np.ndarray, squared: np.ndarray, pairs: np.ndarray) -> None:
    """Takes pairs, as of `_better`, different and ascending, into rows and squared."""
    k = rows.shape[1]
    one, other = np.divmod(pairs, len(points))
    difference = points[one] - points[other]
    far = np.einsum("hf,hf->h", difference, difference)
    changed, first, count = np.unique(one, return_index=True, return_counts=True)
    which = np.repeat(np.arange(len(changed)), count)
    place = k + np.arange(len(one)) - first[which]
    width = k + int(count.max())
    there = np.full((len(changed), width), -1, np.int32)
    there[:, :k] = rows[changed]
    there[which, place] = other
    apart = np.full(there.shape, np.inf, np.float32)
    apart[:, :k] = squared[changed]
    apart[which, place] = far
    order = apart.argsort(axis=1, kind="stable")[:, :k]
    rows[changed] = np.take_along_axis(there, order, axis=1)
    squared[changed] = np.take_along_axis(apart, order, axis=1)
