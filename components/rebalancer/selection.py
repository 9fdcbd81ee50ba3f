"""Exact numbers of rows of each class, chosen by the smallest hashes without collecting rows.

A class that goes from `before` to `after` rows has each row written `after // before` times, and
the `after % before` rows with the smallest hashes once more. Undersampling is the case of less
than once, oversampling that of at least once: every row is used evenly, so the sample has lower
variance than drawing with replacement and each class's factor is exact.

Where the smallest hashes end is found from a histogram over the hashes' top bits, which merges in
any order. Only rows of the one bucket in which it ends, about 1 in 2**bits of the class and the
rows equal to the last one, have to be looked at together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import hashing

_CELL_BITS = 20
_MAX_BITS = 16


def hashes(ids: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [n]: rows with the smallest are taken first; equal where `ids` int64 [n] are."""
    return hashing.keyed(ids, seed, "resample")


def sketch_bits(n_classes: int) -> int:
    """Top bits of a hash that the histogram tells apart: it holds at most 2**20 numbers in all."""
    return max(1, min(_MAX_BITS, _CELL_BITS - (n_classes - 1).bit_length()))


def empty_histogram(n_classes: int) -> np.ndarray:
    """int64 [n_classes, 2**bits] of zeros."""
    return np.zeros((n_classes, 1 << sketch_bits(n_classes)), np.int64)


def add_to_histogram(histogram: np.ndarray, codes: np.ndarray, words: np.ndarray) -> None:
    """Counts rows in place: `codes` int64 [n] class indices, `words` uint64 [n] hashes."""
    np.add.at(histogram, (codes, _buckets(words, histogram.shape[1])), 1)


@dataclass(frozen=True)
class Copies:
    """How often each row of each class is written.

    Attributes:
      times: int64 [n_classes], copies of every row.
      cut: int64 [n_classes], rows in buckets below are written once more.
      within: int64 [n_classes], so many rows of bucket `cut`, by smallest hash, once more.
      n_buckets: buckets of the histogram.
    """

    times: np.ndarray
    cut: np.ndarray
    within: np.ndarray
    n_buckets: int

    @classmethod
    def exact(cls, histogram: np.ndarray, after: Sequence[int]) -> "Copies":
        """Copies such that class i has exactly after[i] rows; a class without rows stays so."""
        before = histogram.sum(axis=1)
        times, extra = np.divmod(np.asarray(after, np.int64), np.maximum(before, 1))
        cumulative = histogram.cumsum(axis=1)
        cut = (cumulative <= extra[:, None]).sum(axis=1)
        below = np.where(cut > 0, cumulative[np.arange(len(cut)), cut - 1], 0)
        return cls(times, cut, np.where(before > 0, extra - below, 0), histogram.shape[1])

    def of(self, codes: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Copies int64 [n] of each row, and bool [n]: the rows `settle` still has to decide on.

        Args:
          codes: int64 [n], class indices.
          words: uint64 [n], hashes.
        """
        bucket, cut = _buckets(words, self.n_buckets), self.cut[codes]
        return self.times[codes] + (bucket < cut), (bucket == cut) & (self.within[codes] > 0)


def uses_of(ids: np.ndarray, n: int, seed: int) -> np.ndarray:
    """int64 [m]: how often each of m rows is a base so that there are n uses, as even as can be.

    Args:
      ids: int64 [m], identities in canonical order; of equal ones the first come first.
      n: uses in all.
      seed: decides which rows are used once more.
    """
    times, missing = divmod(n, len(ids))
    uses = np.full(len(ids), times)
    uses[np.argsort(hashing.keyed(ids, seed, "base"), kind="stable")[:missing]] += 1
    return uses


def sample_of(ids: np.ndarray, n: int, seed: int) -> np.ndarray:
    """int64 [<= n], ascending: the n rows with the smallest hashes, of equal ones the first.

    Args:
      ids: int64 [m], identities in canonical order.
      n: rows, at most.
      seed: of the hashes.
    """
    words = hashing.keyed(ids, seed, "sample")
    return np.sort(np.argsort(words, kind="stable")[:n])


def apportioned(weights: np.ndarray, n: int, words: np.ndarray) -> np.ndarray:
    """int64 [m], proportional to weights and n in all, by the method of largest remainders.

    Args:
      weights: int64 or float64 [m], at least 0, not all 0.
      n: sum of the result.
      words: [m], of equal remainders the smallest words come first.
    """
    quotas = weights * n / weights.sum()
    whole = np.floor(quotas).astype(np.int64)
    order = np.lexsort((words, whole - quotas))
    whole[order[: n - whole.sum()]] += 1
    return whole


def _buckets(words: np.ndarray, n_buckets: int) -> np.ndarray:
    return (words >> np.uint64(65 - n_buckets.bit_length())).astype(np.int64)
