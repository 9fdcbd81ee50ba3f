"""ROSE, the smoothed bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ... import hashing
from ...errors import UserError
from ..features import Features
from ..params import RebalanceParams
from ..rows import Split
from .base import Draws, Source, SyntheticSampler, must_be_numbers, register
from .interpolation import evenly

_FAR = float(np.nextafter(2.0**63, 0))  # the largest float64 that is an int64


@dataclass(frozen=True, kw_only=True)
class Smoothing(Source):
    """A class's rows and how far synthetic ones lie from them.

    Attributes:
      bandwidths: float64 [d], standard deviation of the noise in each column of `Split.numeric`.
    """

    bandwidths: np.ndarray


@register
class Rose(SyntheticSampler):
    """Random oversampling with noise: each numeric value is its base's plus N(0, h).

    The bandwidth h of a column is shrinkage times what is best for normal data: its standard
    deviation times (4 / ((d + 2) n)) ** (1 / (d + 4)), with n rows of the class and d numeric
    values. So it is in the authors' R package ROSE, whose standard deviation divides by n - 1.
    imbalanced-learn's RandomOverSampler(shrinkage) takes the rows of all classes for n, which makes
    its h smaller by (class's rows / all rows) ** (1 / (d + 4)). Categories are those of the base,
    integers are rounded, and every row of the class is the base equally often.

    References:
      Menardi and Torelli, "Training and assessing classification rules with imbalanced data", Data
      Mining and Knowledge Discovery 28, 2014.
    """

    name = "rose"

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Every feature is a number, or numbers, and one at least is no category."""
        must_be_numbers(self.name, features)
        if not features.numeric:
            raise UserError(
                f"rebalance.method: '{self.name}' adds noise to numeric features, found only "
                f"categorical ones ({', '.join(features.categorical)}); use over or smote_n"
            )

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: all of its rows are bases, evenly."""
        return [
            Smoothing(
                code,
                rows,
                uses,
                pool=np.empty(0, np.int64),
                k=0,
                method=self.name,
                bandwidths=bandwidths(split.numeric[rows], len(rows), params.shrinkage),
            )
            for code, rows, uses in evenly(split, new)
        ]

    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """int64 [len(bases), 0]: none."""
        return np.empty((len(bases), 0), np.int64)

    def make(self, split: Split, source: Source, draws: Draws) -> dict[str, np.ndarray]:
        """The bases' columns with noise."""
        assert isinstance(source, Smoothing)
        columns = {name: split.rows.columns[name][draws.base] for name in split.features.names}
        first = 0
        for name in split.features.numeric:
            centre = columns[name].reshape(len(draws.base), -1)
            noise = np.empty(centre.shape)
            for i in range(centre.shape[1]):
                words = hashing.keyed(draws.words, split.seed, f"rose/{name}/{i}")
                noise[:, i] = normal(words) * source.bandwidths[first + i]
            first += centre.shape[1]
            columns[name] = moved(centre, noise).reshape(columns[name].shape)
        return columns


def moved(centre: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """centre + noise, float64 [n, width], in the type of `centre` (int64, float32 or float64).

    What the type does not hold becomes the largest or smallest that it does.
    """
    if centre.dtype != np.int64:
        largest = np.finfo(centre.dtype).max
        sums = np.clip(centre.astype(np.float64) + noise, -largest, largest)
        return np.asarray(sums.astype(centre.dtype))
    steps = np.rint(np.clip(noise, -_FAR, _FAR)).astype(np.int64)
    limits = np.iinfo(np.int64)
    with np.errstate(over="ignore"):
        sums = centre + steps
    sums[(steps > 0) & (sums < centre)] = limits.max
    sums[(steps < 0) & (sums > centre)] = limits.min
    return np.asarray(sums)


def bandwidths(numeric: np.ndarray, n: int, shrinkage: float) -> np.ndarray:
    """float64 [d]: the normal reference rule, see `Rose`.

    Args:
      numeric: float32 [m, d], a class's rows.
      n: rows that the density is estimated from.
      shrinkage: factor of all bandwidths.
    """
    d = numeric.shape[1]
    constant = (4 / ((d + 2) * n)) ** (1 / (d + 4))
    return np.asarray(shrinkage * constant * numeric.std(axis=0, dtype=np.float64))


def normal(words: np.ndarray) -> np.ndarray:
    """float64 [s], standard normal, from uint64 [s] by the inverse distribution function."""
    return np.asarray(ndtri(np.maximum(hashing.uniform(words), 2.0**-54)))
