"""k-means SMOTE."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from ... import hashing
from ...errors import UserError
from ..brute import closest
from ..features import Features
from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from ..selection import apportioned, sample_of, uses_of
from .base import Counter, Reads, Source, register
from .cleaning import rows_by_class
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
    were asked for (imbalanced-learn rounds each up). Of more than 131,072 rows the clusters are
    found among those with the smallest hashes; then each row goes to its nearest centre.

    References:
      Last, Douzas and Bacao, "Oversampling for Imbalanced Learning Based on K-Means and SMOTE",
      2017, arXiv:1711.00837, algorithm 1.
    """

    name = "kmeans_smote"
    reads: ClassVar[Reads] = "split"
    streams = ("counter",)
    sample_rows = 1 << 17

    def counter(self, held: Split, params: RebalanceParams) -> Counter:
        """int64 [n_clusters], rows of all in each cluster."""
        clusters = self.clusters(held, params)
        return lambda split: (clusters.sizes(split.numeric),)

    def clusters(self, split: Split, params: RebalanceParams) -> "Clusters":
        """Of all rows, found in a sample of them."""
        n_clusters = params.n_clusters
        if n_clusters is None:
            before = rows_by_class(split)
            growing = self.held(before, self.targets(before, params))
            smallest = min(before[name] for name in growing)
            n_clusters = default_clusters(sum(before.values()), smallest, params.k_neighbors)
        if split.whole is None:
            index = sample_of(split.rows.ids, self.sample_rows, split.seed)
            sample = split.numeric[index]
        else:
            assert split.whole.sample is not None
            sample = replace(split, rows=split.whole.sample).numeric
        return Clusters(sample, n_clusters, split.seed)

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
        if not new:
            return []
        clusters = self.clusters(split, params)
        labels = clusters.of(split.numeric)
        sizes = (
            split.whole.counts[0] if split.whole else np.bincount(labels, minlength=len(clusters))
        )
        found: list[Source] = []
        for code, n in new.items():
            threshold = params.cluster_balance_threshold
            if threshold is None:
                threshold = n / sum(new.values()) / 2
            if len(clusters) == 1:
                threshold = 0.0
            rows = split.of_class(code)
            pools = growing(rows, labels[rows], sizes, threshold, params.k_neighbors)
            if not pools:
                raise UserError(
                    f"rebalance.method: '{self.name}' found no cluster of {len(clusters)} with "
                    f"more than {params.k_neighbors} rows of class {split.classes[code]} and a "
                    f"share of at least {threshold:g} of it; use a lower cluster_balance_threshold "
                    "or k_neighbors, another n_clusters, or smote"
                )
            weights = shares([log_sparsity(split, pool, params.density_exponent) for pool in pools])
            shared = apportioned(weights, n, np.arange(len(pools)))
            found += [
                Source(
                    code,
                    pool,
                    uses_of(split.rows.ids[pool], wanted, split.seed),
                    pool,
                    params.k_neighbors,
                    self.name,
                )
                for pool, wanted in zip(pools, shared.tolist(), strict=True)
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


class Clusters:
    """Clusters of rows, by mini-batch k-means."""

    def __init__(self, numeric: np.ndarray, n_clusters: int, seed: int) -> None:
        """Finds them among `numeric` float32 or float64 [m, d]."""
        state = int(hashing.text_hash(f"{seed}/kmeans_smote") >> np.uint64(32))
        self._means = MiniBatchKMeans(n_clusters, random_state=state, n_init=1)
        # Centred, since distances are computed as |x|**2 - 2xy + |y|**2 in float32.
        self._middle = numeric.mean(axis=0, dtype=np.float64).astype(numeric.dtype)
        # With several threads sums are rounded differently from run to run.
        with threadpool_limits(limits=1):
            self._means.fit(numeric - self._middle)

    def __len__(self) -> int:
        return len(self._means.cluster_centers_)

    def of(self, numeric: np.ndarray) -> np.ndarray:
        """int64 [n], the cluster of each row of `numeric` [n, d]."""
        # Not `predict`, whose rounding depends on how many rows there are.
        near, _ = closest(numeric - self._middle, self._means.cluster_centers_, k=1)
        return near[:, 0]

    def sizes(self, numeric: np.ndarray) -> np.ndarray:
        """int64 [n_clusters], rows in each."""
        return np.bincount(self.of(numeric), minlength=len(self))


def growing(
    rows: np.ndarray, labels: np.ndarray, sizes: np.ndarray, threshold: float, k: int
) -> list[np.ndarray]:
    """Those of the rows of a class that are in each cluster that grows, by cluster.

    Args:
      rows: int64 [m], row indices.
      labels: int64 [m], their clusters.
      sizes: int64 [n_clusters], rows of all classes in each.
      threshold: least share of the class in a cluster.
      k: the class has more rows in it than that.
    """
    inside = np.bincount(labels, minlength=len(sizes))
    share = inside / np.maximum(sizes, 1)
    chosen = np.flatnonzero((inside > k) & (share >= threshold))
    return [rows[labels == cluster] for cluster in chosen]


def log_sparsity(split: Split, rows: np.ndarray, exponent: float | None = None) -> float:
    """Logarithm of (mean distance) ** exponent / n of n > 1 rows, -inf where all are equal.

    The exponent that is taken where none is given, log(n, 1.6) ** 1.8 * 0.16, is
    imbalanced-learn's. Logarithms, since powers overflow. Of more than 8192 rows the mean is that
    of those with the smallest hashes.
    """
    n = len(rows)
    if n > _MOST_ROWS:
        words = hashing.keyed(split.rows.ids[rows], split.seed, "sparsity")
        rows = np.sort(rows[np.argsort(words, kind="stable")[:_MOST_ROWS]])
    points = split.numeric[rows].astype(np.float64)
    chunks = range(0, len(points), _CHUNK_ROWS)
    total = sum(float(cdist(points[i : i + _CHUNK_ROWS], points).sum()) for i in chunks)
    mean = total / (len(points) * (len(points) - 1))
    if exponent is None:
        exponent = math.log(n, 1.6) ** 1.8 * 0.16
    return exponent * math.log(mean) - math.log(n) if mean else -math.inf


def shares(logarithms: list[float]) -> np.ndarray:
    """float64 [c], proportional to exp(logarithms) and 1 in all; equal where all those are 0."""
    largest = max(logarithms)
    if largest == -math.inf:
        return np.full(len(logarithms), 1 / len(logarithms))
    weights = np.exp(np.array(logarithms) - largest)
    return np.asarray(weights / weights.sum())
