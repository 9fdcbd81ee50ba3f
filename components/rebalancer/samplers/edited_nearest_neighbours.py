"""Edited nearest neighbours."""

from collections.abc import Mapping

import numpy as np

from ...errors import UserError
from ..features import Features
from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from .base import register
from .cleaning import NeighborCleaning
from .smote_nc import most_frequent


@register
class EditedNearestNeighbours(NeighborCleaning):
    """Removes rows with whose class their nearest rows, of all classes, disagree.

    By `kind_sel`, a row stays if all of its `n_neighbors` nearest are of its class ('all'), or if
    its class is the most frequent among them ('mode'). Of classes that are equally frequent the
    first in class order counts, as in imbalanced-learn, where it is the smallest label.

    References:
      Wilson, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data", IEEE
      Transactions on Systems, Man, and Cybernetics 2(3), 1972.
    """

    name = "edited_nearest_neighbours"

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """As for all, and there are enough neighbours."""
        super().check(counts, features, params)
        must_have_neighbors(sum(counts.values()), params)

    def flagged(self, split: Split, codes: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """bool [n], rows of these classes with which their neighbours disagree."""
        of = split.rows.codes
        rows = np.flatnonzero(np.isin(of, codes))
        near = of[nearest(Space(split.numeric), self.looks_at(params), queries=rows)[0]]
        gone = np.zeros(len(split), bool)
        gone[rows] = self.disagrees(of[rows], near, params)
        return gone

    def looks_at(self, params: RebalanceParams) -> int:
        """`n_neighbors`."""
        return params.n_neighbors

    def disagrees(self, own: np.ndarray, near: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """By `kind_sel`."""
        if params.kind_sel == "all":
            return (near != own[:, None]).any(axis=1)
        return most_frequent(np.sort(near, axis=1)) != own


def must_have_neighbors(rows: int, params: RebalanceParams) -> None:
    """Raises UserError unless each of so many rows has `n_neighbors` others."""
    if rows <= params.n_neighbors:
        raise UserError(
            f"rebalance.n_neighbors: {params.n_neighbors} neighbours need more rows than that, "
            f"found {rows}; use a lower n_neighbors"
        )
