"""What SMOTE and its kin share: synthetic rows between a row and one of its neighbours."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ... import hashing
from ..features import Features
from ..params import RebalanceParams
from ..selection import smallest
from .base import Rows, SyntheticSampler


class Draws(NamedTuple):
    """From what each of n synthetic rows is made.

    Attributes:
      base: int64 [n], row index.
      neighbor: int64 [n], which of the base's k neighbours.
      gap: float64 [n] in [0, 1), how far on the way from base to neighbour.
      words: uint64 [n], a hash of each draw.
    """

    base: np.ndarray
    neighbor: np.ndarray
    gap: np.ndarray
    words: np.ndarray


class Interpolation(SyntheticSampler):
    """Numeric features of a synthetic row are x + gap * (neighbour - x), gap uniform on [0, 1).

    As published, every row of the class is the base equally often, and as many as are still
    missing, chosen by hash, once more; imbalanced-learn draws bases with replacement. Distances
    and interpolation are computed in float64 from the float32 values of the examples and stored
    as float32; integers are rounded to the nearest. A synthetic row has the sample weight of its
    base row and an identity of its own.
    """

    def synthesise(self, rows: Rows, n: int, features: Features, params: RebalanceParams) -> Rows:
        """By interpolation; as in the base class."""
        neighbors = self.search(rows, features, params.k_neighbors)
        draws = draw(rows.ids, n, params.k_neighbors, params.seed)
        other = neighbors[draws.base, draws.neighbor]
        columns = {
            name: between(rows.columns[name][draws.base], rows.columns[name][other], draws.gap)
            for name in features.numeric
        }
        columns |= self.categories(rows, features, neighbors, draws.base)
        if features.weight:
            name = features.weight[0]
            columns[name] = rows.columns[name][draws.base]
        pair = draws.words ^ hashing.splitmix64(rows.ids[other])
        return Rows(hashing.keyed(pair, params.seed, "smote/row").view(np.int64), columns)

    @abstractmethod
    def search(self, rows: Rows, features: Features, k: int) -> np.ndarray:
        """The k neighbours of each row, int64 [n, k]."""

    def categories(
        self, rows: Rows, features: Features, neighbors: np.ndarray, base: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Categorical columns of the synthetic rows that have these base rows."""
        return {}


def draw(ids: np.ndarray, n: int, k: int, seed: int) -> Draws:
    """Draws n times from rows and their k neighbours, by hash of each row's identity.

    Args:
      ids: int64 [rows], sorted; equal rows are told apart by their rank among themselves.
      n: draws; every row is the base of n // rows or one more of them.
      k: neighbours of each row.
      seed: another seed gives other draws.
    """
    times, missing = divmod(n, len(ids))
    uses = np.full(len(ids), times)
    uses[smallest(hashing.keyed(ids, seed, "smote/base"), missing)] += 1
    base = np.repeat(np.arange(len(ids)), uses)
    turn = np.arange(n) - np.repeat(np.cumsum(uses) - uses, uses)
    rank = np.arange(len(ids)) - np.searchsorted(ids, ids)
    serial = (rank[base] << 32 | turn).view(np.uint64)
    words = hashing.splitmix64(hashing.splitmix64(ids[base].view(np.uint64)) + serial)
    neighbor = hashing.uniform(hashing.keyed(words, seed, "smote/neighbor")) * k
    gap = hashing.uniform(hashing.keyed(words, seed, "smote/gap"))
    return Draws(base, neighbor.astype(np.int64), gap, words)


def between(start: np.ndarray, end: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """start + gap * (end - start), in the type of `start`: float32 or, rounded, int64."""
    from_ = start.astype(np.float64)
    value = from_ + gap * (end.astype(np.float64) - from_)
    return np.rint(value).astype(np.int64) if start.dtype == np.int64 else value.astype(np.float32)


def numeric_matrix(rows: Rows, names: Iterable[str]) -> np.ndarray:
    """float32 [n, n_names] of the columns so named."""
    return np.column_stack([rows.columns[name].astype(np.float32) for name in names])
