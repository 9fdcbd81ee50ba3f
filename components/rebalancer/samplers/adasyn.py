"""ADASYN, adaptive synthetic sampling."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ... import hashing
from ...errors import UserError
from ..params import RebalanceParams
from ..rows import Split
from ..selection import apportioned
from .base import Ask, Reads, Source, register
from .borderline_smote import strangers
from .smote import Smote


@register
class Adasyn(Smote):
    """SMOTE that makes the more rows of one the more of its k nearest are of other classes.

    Neighbours to interpolate with are found within the class, as in imbalanced-learn. The class
    has exactly the rows that were asked for afterwards: fractions of a row go to the largest ones,
    where imbalanced-learn rounds each, so that its sum is off.

    References:
      He, Bai, Garcia and Li, "ADASYN: Adaptive Synthetic Sampling Approach for Imbalanced
      Learning", IJCNN 2008.
    """

    name = "adasyn"
    reads: ClassVar[Reads] = "split"
    streams = ("asks",)

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """The k nearest of all rows."""
        return [Ask(np.arange(len(held)), np.arange(len(held.classes)), params.k_neighbors)]

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: its rows with neighbours of other classes are bases.

        Raises:
          UserError: no row of a class has one.
        """
        found = []
        for code, n in new.items():
            rows = split.of_class(code)
            weights = strangers(split, rows, params.k_neighbors)
            if not weights.any():
                raise UserError(
                    f"rebalance.method: '{self.name}' makes rows of those near other classes, but "
                    f"all {params.k_neighbors} nearest (rebalance.k_neighbors) of each row of "
                    f"class {split.classes[code]} are of its own; use smote, a higher "
                    "k_neighbors, or a sampling_strategy that leaves this class alone"
                )
            words = hashing.keyed(split.rows.ids[rows], split.seed, "adasyn")
            uses = apportioned(weights, n, words)
            used = uses > 0
            found.append(Source(code, rows[used], uses[used], rows, params.k_neighbors, self.name))
        return found
