"""What the methods have in common that clean by a row's neighbours."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ..features import Features
from ..params import RebalanceParams
from ..rows import Split
from ..strategy import cleaned_classes
from .base import CleaningSampler, must_be_numbers


class NeighborCleaning(CleaningSampler):
    """Rows go because of the classes of their nearest rows, by Euclidean distance.

    A row is left out of its own neighbours by index, and equally far ones are taken in row order.
    imbalanced-learn drops the first neighbour found instead, which for rows that are equal may be
    the other one.

    Attributes:
      mutual: whether a row goes only if its nearest row's nearest disagrees with that one and is
        the row itself.
    """

    mutual: ClassVar[bool] = False

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Every feature is numeric, and the strategy names classes."""
        must_be_distances(self.name, features)
        cleaned_classes(params.sampling_strategy, counts)

    def removed(self, split: Split, params: RebalanceParams) -> np.ndarray:
        """bool [n], those of `flagged` that are of a class in `sampling_strategy`."""
        names = cleaned_classes(params.sampling_strategy, rows_by_class(split))
        codes = np.array([split.classes.index(name) for name in names])
        gone = self.flagged(split, codes, params)
        must_leave_each_class(
            split, gone, params, "leave it out of rebalance.sampling_strategy or use under"
        )
        return gone

    @abstractmethod
    def flagged(self, split: Split, codes: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """bool [n], the rows that go.

        Args:
          split: all rows.
          codes: int64 [c], the classes of which rows may go.
          params: neighbours.
        """

    @abstractmethod
    def looks_at(self, params: RebalanceParams) -> int:
        """Neighbours of each row that have a say."""

    @abstractmethod
    def disagrees(self, own: np.ndarray, near: np.ndarray, params: RebalanceParams) -> np.ndarray:
        """bool [q], rows with which their nearest disagree.

        Args:
          own: int64 [q], classes of the rows.
          near: int64 [q, looks_at], those of their nearest rows.
          params: how many have to.
        """


def must_be_distances(method: str, features: Features) -> None:
    """Raises UserError unless there are numeric features and no others."""
    must_be_numbers(method, features)
    if features.categorical:
        raise UserError(
            f"rebalance.method: '{method}' measures distances between numbers, which categorical "
            f"features ({', '.join(features.categorical)}) are not; encode them in Transform as "
            "vectors, leave them out there, or use under"
        )
    if not features.numeric:
        raise UserError(
            f"rebalance.method: '{method}' needs a numeric feature, found none; use under"
        )


def rows_by_class(split: Split) -> dict[str, int]:
    """Class name -> rows, for every class."""
    return dict(zip(split.classes, split.class_rows.tolist(), strict=True))


def must_leave_each_class(
    split: Split, gone: np.ndarray, params: RebalanceParams, instead: str
) -> None:
    """Raises UserError where no row of a class would be left.

    Args:
      split: all rows.
      gone: bool [n], the rows that are removed.
      params: the method is named.
      instead: what to do, told in the message.
    """
    left = split.class_rows - np.bincount(split.rows.codes[gone], minlength=len(split.classes))
    for code, (name, rows) in enumerate(rows_by_class(split).items()):
        if rows and not left[code]:
            raise UserError(
                f"rebalance.method: '{params.method}' would remove all {rows} rows of class "
                f"{name}, and no prior correction brings a class back; {instead}"
            )
