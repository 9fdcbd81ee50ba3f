"""Tomek links."""

from collections.abc import Mapping

import numpy as np

from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from .base import Ask, register
from .cleaning import NeighborCleaning


@register
class TomekLinks(NeighborCleaning):
    """Removes rows that are in a Tomek link: two rows of two classes, each the other's nearest.

    References:
      Tomek, "Two Modifications of CNN", IEEE Transactions on Systems, Man, and Cybernetics 6,
      1976.
    """

    name = "tomek_links"
    mutual = True
    streams = ("asks",)
    rounds = 2

    def held(self, before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
        """All but the largest: one end of each link is there."""
        largest = max(before, key=before.__getitem__)
        return [name for name in before if name != largest]

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """The nearest, then that of each row of the largest class which is one."""
        named = held.of_class(int(held.class_rows.argmax()))
        rows = named if len(named) else np.arange(len(held))
        return [Ask(rows, np.arange(len(held.classes)), 1)]

    def flagged(self, split: Split, codes: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """bool [n], rows of these classes that are in a link."""
        of = split.rows.codes
        space = Space(split.numeric)
        # One end of each link is outside the largest class, so most rows need no search.
        ends = np.flatnonzero(of != split.class_rows.argmax())
        others = nearest(space, k=1, queries=ends)[0][:, 0]
        apart = of[ends] != of[others]
        ends, others = ends[apart], others[apart]
        asked, at = np.unique(others, return_inverse=True)
        mutual = nearest(space, k=1, queries=asked)[0][at, 0] == ends
        linked = np.zeros(len(split), bool)
        linked[ends[mutual]] = linked[others[mutual]] = True
        return linked & np.isin(of, codes)

    def looks_at(self, params: RebalanceParams) -> int:
        """The nearest."""
        return 1

    def disagrees(self, own: np.ndarray, near: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """It is of another class."""
        return near[:, 0] != own
