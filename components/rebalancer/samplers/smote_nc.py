"""SMOTE-NC, for numeric and categorical features together."""

from collections.abc import Mapping

import numpy as np

from ...errors import UserError
from ..features import Features
from ..neighbors import nearest_neighbors
from ..params import RebalanceParams
from .base import Rows, register
from .interpolation import Interpolation, numeric_matrix


@register
class SmoteNC(Interpolation):
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

    def check(
        self,
        counts: Mapping[str, int],
        new: Mapping[str, int],
        features: Features,
        params: RebalanceParams,
    ) -> None:
        """Also: there are features of both sorts."""
        if not features.categorical:
            raise UserError(
                "rebalance.method: 'smote_nc' needs a categorical feature, found only numeric "
                f"ones ({', '.join(features.numeric)}); use smote"
            )
        if not features.numeric:
            raise UserError(
                "rebalance.method: 'smote_nc' needs a numeric feature, found only categorical "
                f"ones ({', '.join(features.categorical)}); use over"
            )
        super().check(counts, new, features, params)

    def search(self, rows: Rows, features: Features, k: int) -> np.ndarray:
        """By Euclidean distance with a penalty for each category that differs."""
        numeric = numeric_matrix(rows, features.numeric)
        categories = np.column_stack([rows.columns[name] for name in features.categorical])
        return nearest_neighbors(numeric, k, categories, median_deviation(numeric))

    def categories(
        self, rows: Rows, features: Features, neighbors: np.ndarray, base: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The categories most frequent among the base rows' neighbours."""
        return {
            name: most_frequent(rows.columns[name][neighbors])[base]
            for name in features.categorical
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
