"""NearMiss, versions 1 to 3."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from ...errors import UserError
from ..features import Features
from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Rows, Split
from ..strategy import under_targets
from .base import Ask, CleaningSampler, Stream, register
from .cleaning import must_be_distances, rows_by_class

_CELLS = 1 << 21
"""Distances that are held at once."""


class NearMiss(CleaningSampler):
    """Undersamples by a row's mean distance to rows of the minority class.

    Counts are exact. With several classes the reference is the smallest of all, in name order the
    first of those. Equal means are taken in row order. Where `sampling_strategy` removes rows of
    the reference itself, a row of it counts as its own nearest, as in imbalanced-learn.

    References:
      Zhang and Mani, "kNN Approach to Unbalanced Data Distributions: A Case Study Involving
      Information Extraction", ICML 2003 workshop on learning from imbalanced datasets.
    """

    streams: ClassVar[tuple[Stream, ...]] = ("ranks",)

    def held(self, before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
        """The minority."""
        return [_smallest(before)]

    def ranks(self, held: Split, rows: Split, params: RebalanceParams) -> np.ndarray:
        """By the mean distance that decides."""
        both = replace(held, rows=Rows.concatenated([held.rows, rows.rows]))
        reference, others = np.split(np.arange(len(both)), [len(held)])
        return self.distance(both, others, reference, params.n_neighbors)

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """As for undersampling; what is left is exactly that."""
        return under_targets(params.sampling_strategy, counts)

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Every feature is numeric, and the minority has enough rows."""
        must_be_distances(self.name, features)
        name = _smallest(counts)
        if counts[name] < params.n_neighbors:
            raise UserError(
                f"rebalance.n_neighbors: {params.n_neighbors} neighbours need as many rows, "
                f"but class {name} has {counts[name]} in train; use a lower n_neighbors or "
                "method under"
            )

    def removed(self, split: Split, params: RebalanceParams) -> np.ndarray:
        """bool [n], the rows that go."""
        counts = rows_by_class(split)
        after = self.targets(counts, params)
        reference = split.of_class(split.classes.index(_smallest(counts)))
        gone = np.zeros(len(split), bool)
        for code, name in enumerate(split.classes):
            if after[name] < counts[name]:
                rows = split.of_class(code)
                rank = self.ranked(split, rows, reference, after[name], params.n_neighbors)
                gone[rows[rank[after[name] :]]] = True
        return gone

    def distance(self, split: Split, rows: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
        """float64 [m]: sum of each row's distances to its k nearest of the minority.

        Args:
          split: has the rows.
          rows: int64 [m], of one class.
          reference: int64 [r], rows of the minority; r > k.
          k: neighbours.
        """
        # The search leaves a row out of its own neighbours; here it counts, at distance 0.
        others = k - 1 if rows[0] == reference[0] else k
        if others == 0:
            return np.zeros(len(rows))
        _, distances = nearest(Space(split.numeric), k=others, queries=rows, among=reference)
        return np.asarray(distances.sum(axis=1))

    def ranked(
        self, split: Split, rows: np.ndarray, reference: np.ndarray, wanted: int, k: int
    ) -> np.ndarray:
        """int64 [m]: order of `rows`, those that are kept first.

        Args:
          split: all rows.
          rows: int64 [m], of one class, ascending.
          reference: int64 [r], rows of the minority class, ascending; r > k.
          wanted: so many are kept.
          k: neighbours.
        """
        return np.argsort(self.distance(split, rows, reference, k), kind="stable")


@register
class NearMiss1(NearMiss):
    """Keeps rows with the smallest mean distance to their k nearest of the minority."""

    name = "near_miss_1"


@register
class NearMiss2(NearMiss):
    """Keeps rows with the smallest mean distance to their k farthest of the minority."""

    name = "near_miss_2"

    def distance(self, split: Split, rows: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
        """To the farthest."""
        to = split.numeric[reference].astype(np.float64)
        total = np.empty(len(rows))
        step = max(1, _CELLS // len(to))
        for start in range(0, len(rows), step):
            some = split.numeric[rows[start : start + step]].astype(np.float64)
            farthest = np.partition(cdist(some, to), len(to) - k, axis=1)[:, len(to) - k :]
            total[start : start + step] = np.sort(farthest, axis=1).sum(axis=1)
        return total


@register
class NearMiss3(NearMiss):
    """Keeps rows near the minority, and of these the ones farthest from it.

    A first step lists the k nearest rows of each row of the minority; a second keeps the rows of
    that list with the largest mean distance to their k nearest of the minority (`n_neighbors` is
    both of imbalanced-learn's `n_neighbors` and `n_neighbors_ver3`). Where the list is shorter than
    the rows wanted, all of it stays and is filled up as version 1 would; imbalanced-learn warns
    and leaves fewer rows.
    """

    name = "near_miss_3"
    streams = ("asks", "ranks")

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """The rows that the first step lists."""
        counts = rows_by_class(held)
        after = self.targets(counts, params)
        reference = held.classes.index(_smallest(counts))
        return [
            Ask(held.of_class(reference), np.array([code]), params.n_neighbors)
            for code, name in enumerate(held.classes)
            if after[name] < counts[name] and code != reference
        ]

    def ranked(
        self, split: Split, rows: np.ndarray, reference: np.ndarray, wanted: int, k: int
    ) -> np.ndarray:
        """Listed rows by distance, the largest first, then the others, the smallest first."""
        listed = rows
        if rows[0] != reference[0]:
            near, _ = nearest(Space(split.numeric), k=k, queries=reference, among=rows)
            listed = np.unique(near)
        on_list = np.isin(rows, listed)
        distance = np.full(len(rows), np.inf)
        needed = on_list if len(listed) >= wanted else np.ones(len(rows), bool)
        distance[needed] = self.distance(split, rows[needed], reference, k)
        return np.lexsort((np.where(on_list, -distance, distance), ~on_list))


def _smallest(counts: Mapping[str, int]) -> str:
    """The class with the fewest rows, of those that have any."""
    return min((rows, name) for name, rows in counts.items() if rows)[1]
