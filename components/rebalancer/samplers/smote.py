"""SMOTE, for numeric features."""

import numpy as np

from ..neighbors import Space, nearest
from ..rows import Split
from .base import Source, register
from .interpolation import Interpolation


@register
class Smote(Interpolation):
    """Synthetic minority oversampling; neighbours are found within the class.

    References:
      Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
      JAIR 16, 2002.
    """

    name = "smote"

    def space(self, split: Split, source: Source) -> Space:
        """Euclidean distance."""
        return Space(split.numeric)

    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """By the distance of `space`."""
        return nearest(self.space(split, source), source.k, bases, source.pool)[0]
