"""Borderline-SMOTE, in both of its versions."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ..features import Features
from ..neighbors import Space, nearest
from ..params import RebalanceParams
from ..rows import Split
from ..selection import uses_of
from .base import Ask, Reads, Source, register
from .smote import Smote


@register
class BorderlineSmote1(Smote):
    """SMOTE of the rows in danger: at the border, but not alone among other classes.

    A row is in danger if of its m nearest rows at least half, but not all, are of other classes.
    Rows in danger are the base equally often; their neighbours are found within the class, in
    danger or not. Where no row is in danger imbalanced-learn leaves the class as it is; here that
    is an error, since the class would not have the rows that were asked for.

    References:
      Han, Wang and Mao, "Borderline-SMOTE: A New Over-Sampling Method in Imbalanced Data Sets
      Learning", ICIC 2005.
    """

    name = "borderline_smote_1"
    reads: ClassVar[Reads] = "split"
    streams = ("asks",)

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """The m nearest of all rows, which tell the danger."""
        return [Ask(np.arange(len(held)), np.arange(len(held.classes)), params.m_neighbors)]

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """As for SMOTE, and there are enough rows to tell the danger."""
        super().check(counts, features, params)
        if sum(counts.values()) <= params.m_neighbors:
            raise UserError(
                f"rebalance.m_neighbors: {params.m_neighbors} neighbours need more rows than that, "
                f"but train has {sum(counts.values())}; use a lower m_neighbors, or smote"
            )

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: rows in danger are bases, evenly, all of its rows neighbours."""
        return [
            source
            for code, n in new.items()
            for source in self.of_class(split, code, n, params)
            if source.uses.any()
        ]

    def of_class(self, split: Split, code: int, n: int, params: RebalanceParams) -> list[Source]:
        """The sources of n rows of class `code`."""
        bases = self.bases(split, code, params)
        uses = uses_of(split.rows.ids[bases], n, split.seed)
        return [Source(code, bases, uses, split.of_class(code), params.k_neighbors, self.name)]

    def bases(self, split: Split, code: int, params: RebalanceParams) -> np.ndarray:
        """int64 [b], the rows in danger.

        Raises:
          UserError: there are none.
        """
        rows = split.of_class(code)
        danger = in_danger(strangers(split, rows, params.m_neighbors), params.m_neighbors)
        if not danger.any():
            raise UserError(
                f"rebalance.method: '{self.name}' makes rows only of those in danger, but no row "
                f"of class {split.classes[code]} has between half and all of its "
                f"{params.m_neighbors} nearest (rebalance.m_neighbors) in other classes; use "
                "smote, another m_neighbors, or a sampling_strategy that leaves this class alone"
            )
        return rows[danger]


@register
class BorderlineSmote2(BorderlineSmote1):
    """Borderline-SMOTE that also goes some way towards the other classes.

    Half of the rows (one more if odd) are made as by version 1, the others between a row in danger
    and the nearest row of another class, at a gap in [0, 0.5). The paper leaves the halves open.
    imbalanced-learn draws among the k nearest rows of all classes instead and, if what it drew is
    of another class, multiplies a gap in [0, 1) by one in [0, 0.5).
    """

    name = "borderline_smote_2"

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """And the nearest row of another class."""
        others = [
            Ask(held.of_class(code), np.delete(np.arange(len(held.classes)), code), 1)
            for code in np.unique(held.rows.codes)
        ]
        return [*super().asks(held, params), *others]

    def of_class(self, split: Split, code: int, n: int, params: RebalanceParams) -> list[Source]:
        """Two sources, which use each base equally often taken together."""
        bases = self.bases(split, code, params)
        ids = split.rows.ids[bases]
        inward = uses_of(ids, n - n // 2, split.seed)
        outward = uses_of(ids, n, split.seed) - inward
        others = np.flatnonzero(split.rows.codes != code)
        # Only rows that are a neighbour of some base: the search among them finds the same.
        pool = np.unique(_nearest_one(split, bases, others))
        k, method = params.k_neighbors, f"{self.name}/towards_others"
        return [
            Source(code, bases, inward, split.of_class(code), k, self.name),
            Source(code, bases, outward, pool, 1, method, reach=0.5),
        ]

    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """By Euclidean distance."""
        if source.reach < 1:
            return _nearest_one(split, bases, source.pool)
        return super().neighbors(split, source, bases)


def strangers(split: Split, rows: np.ndarray, k: int) -> np.ndarray:
    """int64 [m]: rows of other classes among the k nearest of all to each of `rows` int64 [m]."""
    near = nearest(Space(split.numeric), k=k, queries=rows)[0]
    codes = split.rows.codes
    return np.asarray((codes[near] != codes[rows, None]).sum(axis=1))


def in_danger(strangers: np.ndarray, m: int) -> np.ndarray:
    """bool: m/2 <= m' < m (Han et al. 2005, step 2), by m' the `strangers` among m neighbours."""
    return np.asarray((2 * strangers >= m) & (strangers < m))


def _nearest_one(split: Split, bases: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """int64 [b, 1]: the row of `pool`, which holds no base, that is nearest to each base."""
    if len(pool) == 1:
        return np.full((len(bases), 1), pool[0])
    return nearest(Space(split.numeric), k=1, queries=bases, among=pool)[0]
