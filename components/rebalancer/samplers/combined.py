"""SMOTE, then cleaning of real and synthetic rows together."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..features import Features
from ..params import RebalanceParams
from ..rows import Split
from .base import Reads, register
from .cleaning import NeighborCleaning, must_leave_each_class
from .edited_nearest_neighbours import EditedNearestNeighbours, must_have_neighbors
from .smote import Smote
from .tomek_links import TomekLinks


class Combined(Smote):
    """Oversamples by SMOTE, then removes rows of any class, real or synthetic, by a cleaner.

    `targets` are the rows before cleaning; `sampling_strategy` is SMOTE's.

    Attributes:
      cleaner: the sampler that cleans.
      instead: what to do where it would remove a class.

    References:
      Batista, Prati and Monard, "A Study of the Behavior of Several Methods for Balancing Machine
      Learning Training Data", ACM SIGKDD Explorations 6(1), 2004.
    """

    reads: ClassVar[Reads] = "split"
    cleaner: ClassVar[NeighborCleaning]
    instead: ClassVar[str]

    def clean(self, split: Split, params: RebalanceParams) -> np.ndarray:
        """bool [n], the rows that go.

        Args:
          split: the real and the synthetic rows together, `ordered`.
          params: the cleaner's neighbours.

        Raises:
          UserError: a class would lose all its rows; says which and what to do.
        """
        gone = self.cleaner.flagged(split, np.unique(split.rows.codes), params)
        must_leave_each_class(split, gone, params, self.instead)
        return gone


@register
class SmoteTomek(Combined):
    """SMOTE, then rows in a Tomek link go, those of both classes."""

    name = "smote_tomek"
    cleaner = TomekLinks()
    instead = "use smote"


@register
class SmoteEnn(Combined):
    """SMOTE, then edited nearest neighbours of all classes, by `n_neighbors` and `kind_sel`."""

    name = "smote_enn"
    cleaner = EditedNearestNeighbours()
    instead = "use smote, kind_sel mode or a lower n_neighbors"

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """As for SMOTE, and there are enough neighbours afterwards."""
        super().check(counts, features, params)
        must_have_neighbors(sum(self.targets(counts, params).values()), params)
