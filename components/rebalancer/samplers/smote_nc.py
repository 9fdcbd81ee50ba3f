"""SMOTE-NC, for numeric and categorical features together."""

import numpy as np

from ...errors import UserError
from ..features import Features
from ..neighbors import Space
from ..rows import Split
from .base import Draws, Source, register
from .smote import Smote


@register
class SmoteNC(Smote):
    """Synthetic minority oversampling, nominal and continuous.

    Two rows that differ in a category are apart by the median of the class's standard deviations
    of its numeric features. A synthetic row takes each category that is most frequent among its
    base row's k neighbours; among equally frequent ones, that of the nearest neighbour (the paper
    leaves this open, imbalanced-learn draws).

    References:
      Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
      JAIR 16, 2002, section 6.1.
    """

    name = "smote_nc"

    def check_features(self, features: Features) -> None:
        """Raises UserError unless there are features of both sorts."""
        if not features.categorical:
            raise UserError(
                "rebalance.method: 'smote_nc' needs a categorical feature, found only numeric "
                f"ones ({', '.join(features.numeric)}); use smote"
            )
        if not features.numeric:
            raise UserError(
                "rebalance.method: 'smote_nc' needs a numeric feature, found only categorical "
                f"ones ({', '.join(features.categorical)}); use smote_n"
            )

    def space(self, split: Split, source: Source) -> Space:
        """Euclidean distance with a penalty for each category that differs."""
        penalty = median_deviation(split.numeric[source.pool])
        return Space(split.numeric, split.categories, penalty)

    def make(self, split: Split, source: Source, draws: Draws) -> dict[str, np.ndarray]:
        """Points on the segments, with the categories most frequent among the neighbours."""
        return super().make(split, source, draws) | voted(split, draws.near)


def voted(split: Split, near: np.ndarray) -> dict[str, np.ndarray]:
    """Categorical columns [s]: the most frequent of each row's neighbours `near` int64 [s, k]."""
    return {
        name: most_frequent(split.rows.columns[name][near]) for name in split.features.categorical
    }


def median_deviation(numeric: np.ndarray) -> float:
    """Median over columns of the standard deviation of `numeric` float32 [n, n_numeric]."""
    return float(np.median(numeric.std(axis=0, dtype=np.float64)))


def most_frequent(values: np.ndarray) -> np.ndarray:
    """[n]: the most frequent value of each row of `values` [n, k]; among equals, the first."""
    votes = np.zeros(values.shape, np.int64)
    for column in values.T:
        votes += values == column[:, None]
    return np.take_along_axis(values, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
