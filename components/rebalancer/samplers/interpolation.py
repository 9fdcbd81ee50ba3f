"""What SMOTE and its kin share: synthetic rows between a row and one of its neighbours."""

from collections.abc import Iterator, Mapping

import numpy as np

from ...errors import UserError
from ..features import Features
from ..params import RebalanceParams
from ..rows import Split
from ..selection import uses_of
from .base import Draws, Source, SyntheticSampler, must_be_numbers

_LARGEST = float(np.nextafter(2.0**64, 0))  # of the float64 that are a uint64


class Interpolation(SyntheticSampler):
    """Numeric features of a synthetic row are x + gap * (neighbour - x), gap uniform on [0, 1).

    As published, every row of the class is the base equally often, and as many as are still
    missing, chosen by hash, once more; imbalanced-learn draws bases with replacement. Distances
    and interpolation are computed in float64 and stored in the column's type; integers are as many
    whole steps from the base as the gap gives, rounded to the nearest. A synthetic row has the
    sample weight of its base row and an identity of its own.
    """

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Every feature has a number, or numbers, in each row, and there are enough neighbours."""
        must_be_numbers(self.name, features)
        self.check_features(features)
        after = self.targets(counts, params)
        for name in (name for name in counts if after[name] > counts[name]):
            if counts[name] <= params.k_neighbors:
                raise UserError(
                    f"rebalance.k_neighbors: {params.k_neighbors} neighbours need more rows than "
                    f"that, but class {name} has {counts[name]} in train; use method over, a lower "
                    "k_neighbors, or a sampling_strategy that leaves this class alone"
                )

    def check_features(self, features: Features) -> None:
        """Raises UserError unless all features are numeric."""
        if features.categorical:
            raise UserError(
                f"rebalance.method: '{self.name}' interpolates, which categorical features "
                f"({', '.join(features.categorical)}) do not allow; use smote_nc"
            )
        if not features.numeric:
            raise UserError(
                f"rebalance.method: '{self.name}' needs a numeric feature, found none; use over"
            )

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: all of its rows are bases, evenly, and neighbours."""
        return [
            Source(code, rows, uses, rows, params.k_neighbors, self.name)
            for code, rows, uses in evenly(split, new)
        ]

    def make(self, split: Split, source: Source, draws: Draws) -> dict[str, np.ndarray]:
        """Points on the segments from base to chosen."""
        columns = split.rows.columns
        return {
            name: between(columns[name][draws.base], columns[name][draws.chosen], draws.gap)
            for name in split.features.numeric
        }


def evenly(split: Split, new: Mapping[int, int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(class, its rows, how often each is a base) of each growing class, as even as can be."""
    for code, n in new.items():
        rows = split.of_class(code)
        yield code, rows, uses_of(split.rows.ids[rows], n, split.seed)


def between(start: np.ndarray, end: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """start + gap * (end - start), in the type of `start`.

    Args:
      start: float32, float64 or int64, [n] or [n, width].
      end: the same.
      gap: float64 [n] in [0, 1).
    """
    if start.ndim > 1:
        gap = gap[:, None]
    if start.dtype != np.int64:
        from_ = start.astype(np.float64)
        return np.asarray((from_ + gap * (end.astype(np.float64) - from_)).astype(start.dtype))
    # Only the distance goes through float64, as uint64, which holds that of any two int64.
    with np.errstate(over="ignore"):
        up = end >= start
        far = np.where(up, end - start, start - end).view(np.uint64)
        steps = np.minimum(np.rint(gap * far.astype(np.float64)), _LARGEST).astype(np.uint64)
        steps = np.minimum(steps, far).view(np.int64)
        return np.where(up, start + steps, start - steps)
