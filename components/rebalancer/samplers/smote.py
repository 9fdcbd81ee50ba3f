"""SMOTE, for numeric features."""

from collections.abc import Mapping

import numpy as np

from ...errors import UserError
from ..features import Features
from ..neighbors import nearest_neighbors
from ..params import RebalanceParams
from .base import Rows, register
from .interpolation import Interpolation, numeric_matrix


@register
class Smote(Interpolation):
    """Synthetic minority oversampling; neighbours are found within the class.

    References:
      Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
      JAIR 16, 2002.
    """

    name = "smote"

    def check(
        self,
        counts: Mapping[str, int],
        new: Mapping[str, int],
        features: Features,
        params: RebalanceParams,
    ) -> None:
        """Also: every feature is numeric."""
        if features.categorical:
            raise UserError(
                "rebalance.method: 'smote' interpolates, which categorical features "
                f"({', '.join(features.categorical)}) do not allow; use smote_nc"
            )
        if not features.numeric:
            raise UserError(
                "rebalance.method: 'smote' needs a numeric feature, found none; use over"
            )
        super().check(counts, new, features, params)

    def search(self, rows: Rows, features: Features, k: int) -> np.ndarray:
        """By Euclidean distance."""
        return nearest_neighbors(numeric_matrix(rows, features.numeric), k)
