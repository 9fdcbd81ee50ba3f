"""Exact nearest neighbours within one class; the search is scikit-learn's."""

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

_SPARE = 8
_CHUNK_ROWS = 4096
_DENSE_COLUMNS = 512


def nearest_neighbors(
    numeric: np.ndarray, k: int, categories: np.ndarray | None = None, penalty: float = 0.0
) -> np.ndarray:
    """The k rows nearest to each row, itself left out by index, nearest first.

    The squared distance of two rows is that of their numeric features plus penalty**2 for each
    category that differs (Chawla et al. 2002, section 6.1). Rows equally far are taken in row
    order, so the result depends on the rows and their order alone.

    Args:
      numeric: float32 [n, n_numeric], finite; n > k.
      k: neighbours of each row.
      categories: int64 [n, n_categorical], or None.
      penalty: distance of two rows that differ in one category only.

    Returns:
      int64 [n, k], row indices.
    """
    n = len(numeric)
    if categories is None:
        categories = np.empty((n, 0), np.int64)
    index = NearestNeighbors(n_neighbors=min(k + 1 + _SPARE, n))
    matrix = _embedded(numeric, categories, penalty)
    # With several threads scikit-learn breaks ties by which thread comes first.
    with threadpool_limits(limits=1):
        candidates = index.fit(matrix).kneighbors(matrix, return_distance=False)
    chunks = (slice(i, i + _CHUNK_ROWS) for i in range(0, n, _CHUNK_ROWS))
    return np.concatenate(
        [
            _ranked(numeric, categories, penalty, candidates[rows], rows.start)[:, :k]
            for rows in chunks
        ]
    )


def _ranked(
    numeric: np.ndarray, categories: np.ndarray, penalty: float, candidates: np.ndarray, first: int
) -> np.ndarray:
    """Candidates [m, c] of the m rows from `first` on, by exact distance, then index; self last."""
    rows = first + np.arange(len(candidates))
    difference = numeric[candidates].astype(np.float64) - numeric[rows, None]
    squared = np.einsum("mcf,mcf->mc", difference, difference)
    squared += penalty**2 * (categories[candidates] != categories[rows, None]).sum(axis=2)
    squared[candidates == rows[:, None]] = np.inf
    return np.take_along_axis(candidates, np.lexsort((candidates, squared), axis=1), axis=1)


def _embedded(
    numeric: np.ndarray, categories: np.ndarray, penalty: float
) -> np.ndarray | sparse.csr_matrix:
    """float32 [n, width] or as sparse: Euclidean distance between its rows is the distance."""
    if categories.shape[1] == 0 or penalty == 0:
        return numeric
    # Two one-hot vectors that differ are sqrt(2) apart.
    one_hot = OneHotEncoder(dtype=np.float32).fit_transform(categories) * (penalty / np.sqrt(2))
    matrix = sparse.hstack([sparse.csr_matrix(numeric), one_hot], format="csr", dtype=np.float32)
    return matrix.toarray() if matrix.shape[1] <= _DENSE_COLUMNS else matrix
