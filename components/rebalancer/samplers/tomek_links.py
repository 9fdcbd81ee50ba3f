"""Tomek links."""

import numpy as np

from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from .base import register
from .cleaning import NeighborCleaning


@register
class TomekLinks(NeighborCleaning):
    """Removes rows that are in a Tomek link: two rows of two classes, each the other's nearest.

    References:
      Tomek, "Two Modifications of CNN", IEEE Transactions on Systems, Man, and Cybernetics 6,
      1976.
    """

    name = "tomek_links"

    def flagged(self, split: Split, codes: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """bool [n], rows of these classes that are in a link."""
        of = split.rows.codes
        space = Space(split.numeric)
        # One end of each link is outside the largest class, so most rows need no search.
        ends = np.flatnonzero(of != np.bincount(of).argmax())
        others = nearest(space, k=1, queries=ends)[0][:, 0]
        apart = of[ends] != of[others]
        ends, others = ends[apart], others[apart]
        asked, at = np.unique(others, return_inverse=True)
        mutual = nearest(space, k=1, queries=asked)[0][at, 0] == ends
        linked = np.zeros(len(split), bool)
        linked[ends[mutual]] = linked[others[mutual]] = True
        return linked & np.isin(of, codes)
