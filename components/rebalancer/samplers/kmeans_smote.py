"""k-means SMOTE."""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from ... import hashing
from ...errors import UserError
from ..features import Features
from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from ..selection import apportioned, uses_of
from .base import Reads, Source, register
from .smote import Smote

_MOST_CLUSTERS = 500
_MOST_ROWS = 8192
_CHUNK_ROWS = 1024


@register
class KMeansSmote(Smote):
    """SMOTE within clusters of all rows that hold much of the class, more where it is sparse.

    A cluster grows if at least `cluster_balance_threshold` of its rows are of the class and these
    are more than k_neighbors. The threshold is, unless given, half the class's share of all
    synthetic rows, as imbalanced-learn's 'auto': one half for two classes, as in the paper. With
    one cluster alone there is none. Clusters get rows by their sparsity, exactly as many in all as
    were asked for (imbalanced-learn rounds each up).

    References:
      Last, Douzas and Bacao, "Oversampling for Imbalanced Learning Based on K-Means and SMOTE",
      2017, arXiv:1711.00837, algorithm 1.
    """

    name = "kmeans_smote"
    reads: ClassVar[Reads] = "split"

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """As for SMOTE, and there are no more clusters than rows."""
        super().check(counts, features, params)
        if params.n_clusters is not None and params.n_clusters > sum(counts.values()):
            raise UserError(
                f"rebalance.n_clusters: {params.n_clusters}, but train has "
                f"{sum(counts.values())} rows; use fewer clusters, or leave it out"
            )

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: in each of its clusters, its rows are bases, evenly, and neighbours.

        Raises:
          UserError: a class has no cluster to grow in.
        """
        smallest = min(len(split.of_class(code)) for code in new)
        n_clusters = params.n_clusters or default_clusters(len(split), smallest, params.k_neighbors)
        labels = clusters_of(split.numeric, n_clusters, split.seed)
        found: list[Source] = []
        for code, n in new.items():
            threshold = params.cluster_balance_threshold
            if threshold is None:
                threshold = n / sum(new.values()) / 2
            if n_clusters == 1:
                threshold = 0.0
            pools = growing(split, code, labels, threshold, params.k_neighbors)
            if not pools:
                raise UserError(
                    f"rebalance.method: '{self.name}' found no cluster of {n_clusters} with more "
                    f"than {params.k_neighbors} rows of class {split.classes[code]} and a share of "
                    f"at least {threshold:g} of it; use a lower cluster_balance_threshold or "
                    "k_neighbors, another n_clusters, or smote"
                )
            weights = shares([log_sparsity(split, pool) for pool in pools])
            rows = apportioned(weights, n, np.arange(len(pools)))
            found += [
                Source(
                    code,
                    pool,
                    uses_of(split.rows.ids[pool], wanted, split.seed),
                    pool,
                    params.k_neighbors,
                    self.name,
                )
                for pool, wanted in zip(pools, rows.tolist(), strict=True)
                if wanted
            ]
        return found

    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """By Euclidean distance, in a space of the pool alone, since there may be many pools."""
        space = Space(split.numeric[source.pool])
        near, _ = nearest(space, k=source.k, queries=np.searchsorted(source.pool, bases))
        return np.asarray(source.pool[near])


def default_clusters(n: int, smallest: int, k: int) -> int:
    """Clusters of n rows: the root of n / 2, but at most 500.

    And so few that the smallest growing class, of `smallest` rows, has 2 (k + 1) for each of them:
    with small classes one cluster is left, and the method is SMOTE.
    """
    return max(1, min(math.isqrt(n // 2), smallest // (2 * (k + 1)), _MOST_CLUSTERS))


def clusters_of(numeric: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """int64 [n]: the cluster of each row of `numeric` float32 [n, d], by mini-batch k-means."""
    state = int(hashing.text_hash(f"{seed}/kmeans_smote") >> np.uint64(32))
    search = MiniBatchKMeans(n_clusters, random_state=state, n_init=1)
    # Centred, since distances are computed as |x|**2 - 2xy + |y|**2 in float32.
    centred = numeric - numeric.mean(axis=0, dtype=np.float64).astype(np.float32)
    # With several threads sums are rounded differently from run to run.
    with threadpool_limits(limits=1):
        return np.asarray(search.fit_predict(centred), np.int64)


def growing(
    split: Split, code: int, labels: np.ndarray, threshold: float, k: int
) -> list[np.ndarray]:
    """Row indices int64 of a class in each cluster that grows, by cluster.

    Args:
      split: all rows.
      code: of the class.
      labels: int64 [n], each row's cluster.
      threshold: least share of the class in a cluster.
      k: the class has more rows in it than that.
    """
    rows = split.of_class(code)
    inside = np.bincount(labels[rows], minlength=labels.max() + 1)
    share = inside / np.maximum(np.bincount(labels), 1)
    chosen = np.flatnonzero((inside > k) & (share >= threshold))
    return [rows[labels[rows] == cluster] for cluster in chosen]


def log_sparsity(split: Split, rows: np.ndarray) -> float:
    """Logarithm of (mean distance) ** exponent / n of n > 1 rows, -inf where all are equal.

    The exponent, log(n, 1.6) ** 1.8 * 0.16, is imbalanced-learn's. Logarithms, since powers
    overflow. Of more than 8192 rows the mean is that of those with the smallest hashes.
    """
    n = len(rows)
    if n > _MOST_ROWS:
        words = hashing.keyed(split.rows.ids[rows], split.seed, "sparsity")
        rows = np.sort(rows[np.argsort(words, kind="stable")[:_MOST_ROWS]])
    points = split.numeric[rows].astype(np.float64)
    chunks = range(0, len(points), _CHUNK_ROWS)
    total = sum(float(cdist(points[i : i + _CHUNK_ROWS], points).sum()) for i in chunks)
    mean = total / (len(points) * (len(points) - 1))
    exponent = math.log(n, 1.6) ** 1.8 * 0.16
    return exponent * math.log(mean) - math.log(n) if mean else -math.inf


def shares(logarithms: list[float]) -> np.ndarray:
    """float64 [c], proportional to exp(logarithms) and 1 in all; equal where all those are 0."""
    largest = max(logarithms)
    if largest == -math.inf:
        return np.full(len(logarithms), 1 / len(logarithms))
    weights = np.exp(np.array(logarithms) - largest)
    return np.asarray(weights / weights.sum())
