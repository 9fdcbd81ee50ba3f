"""SMOTE-N, for categorical features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from ...errors import UserError
from ..features import Features
from ..neighbors import Space
from ..params import RebalanceParams
from ..rows import Split
from .base import Counter, Draws, Reads, Source, register
from .interpolation import Interpolation, evenly
from .smote_nc import voted

_CHUNK_CELLS = 1 << 22  # distances held at once


class ValueTable(NamedTuple):
    """How the values of one feature are spread over the classes.

    Attributes:
      values: int64 [v], ascending: those that rows of the growing class have.
      shares: float64 [v, n_classes], of all rows with the value the share of each class.
    """

    values: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Nominal(Source):
    """A class's rows and what tells how far apart they are.

    Attributes:
      tables: one for each categorical feature, in the order of `Split.categories`.
    """

    tables: tuple[ValueTable, ...]


@register
class SmoteN(Interpolation):
    """Synthetic minority oversampling, nominal.

    Neighbours are found within the class, by the value difference metric over all rows: two values
    of a feature are the further apart the more their rows' classes differ. A synthetic row takes
    each value that is most frequent among its base row and its k neighbours; among equally frequent
    ones, the base's or that of the nearest neighbour (imbalanced-learn takes the smallest). So all
    synthetic rows of one base are equal, in imbalanced-learn too.

    References:
      Chawla, Bowyer, Hall and Kegelmeyer, "SMOTE: Synthetic Minority Over-sampling Technique",
      JAIR 16, 2002, section 6.2.
      Cost and Salzberg, "A weighted nearest neighbor algorithm for learning with symbolic
      features", Machine Learning 10, 1993: the metric; squared differences, as imbalanced-learn.
    """

    name = "smote_n"
    reads: ClassVar[Reads] = "split"
    streams = ("counter",)

    def counter(self, held: Split, params: RebalanceParams) -> Counter:
        """Of the values of each feature that held rows have: int64 [v, n_classes] rows of all."""
        kinds = [np.unique(column) for column in held.categories.T]

        def count(split: Split) -> tuple[np.ndarray, ...]:
            columns = zip(kinds, split.categories.T, strict=True)
            return tuple(value_counts(values, column, split) for values, column in columns)

        return count

    def check_features(self, features: Features) -> None:
        """Raises UserError unless all features are categorical."""
        if features.numeric and features.categorical:
            raise UserError(
                f"rebalance.method: '{self.name}' needs features that are all categorical, found "
                f"numeric ones ({', '.join(features.numeric)}); use smote_nc"
            )
        if not features.categorical:
            raise UserError(
                f"rebalance.method: '{self.name}' needs a categorical feature, found only numeric "
                f"ones ({', '.join(features.numeric)}); use smote"
            )

    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """Each growing class: all of its rows are bases, evenly, and neighbours."""
        return [
            Nominal(
                code,
                rows,
                uses,
                pool=rows,
                k=params.k_neighbors,
                method=self.name,
                reach=0.0,
                tables=value_tables(split, rows),
            )
            for code, rows, uses in evenly(split, new)
        ]

    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """By the value difference metric; rows equally far in row order."""
        assert isinstance(source, Nominal)
        k = source.k
        # Later copies of a row are nobody's neighbours.
        pool = Space(split.numeric, split.categories, 1.0).first_copies(source.pool, k + 1)
        others = _positions(source.tables, split.categories[pool])
        queries, which = np.unique(
            _positions(source.tables, split.categories[bases]), axis=0, return_inverse=True
        )
        size = max(1, _CHUNK_CELLS // len(pool))
        chunks = [
            _smallest(distances(source.tables, queries[start : start + size], others), k + 1)
            for start in range(0, len(queries), size)
        ]
        near = pool[np.concatenate(chunks)[which.reshape(-1)]]
        own_last = np.argsort(near == bases[:, None], axis=1, kind="stable")[:, :k]
        return np.take_along_axis(near, own_last, axis=1)

    def make(self, split: Split, source: Source, draws: Draws) -> dict[str, np.ndarray]:
        """The values most frequent among bases and neighbours."""
        return voted(split, np.column_stack([draws.base, draws.near]))


def value_tables(split: Split, rows: np.ndarray) -> tuple[ValueTable, ...]:
    """One for each categorical feature, of the values that `rows` int64 [m] have."""
    tables = []
    for i, column in enumerate(split.categories.T):
        values = np.unique(column[rows])
        if split.whole is None:
            counts = value_counts(values, column, split)
        else:
            counts = split.whole.counts[i][np.isin(np.unique(column), values)]
        tables.append(ValueTable(values, counts / counts.sum(axis=1, keepdims=True)))
    return tuple(tables)


def value_counts(values: np.ndarray, column: np.ndarray, split: Split) -> np.ndarray:
    """int64 [v, n_classes]: rows of the split whose `column` int64 [n] has each of `values`.

    `values` int64 [v] are ascending, at least one.
    """
    n_classes = len(split.classes)
    at = np.minimum(np.searchsorted(values, column), len(values) - 1)
    shared = values[at] == column
    cells = at[shared] * n_classes + split.rows.codes[shared]
    return np.bincount(cells, minlength=len(values) * n_classes).reshape(-1, n_classes)


def distances(
    tables: tuple[ValueTable, ...], queries: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """float64 [q, m], by the value difference metric: the sum over features of squared differences.

    The difference of two values is the sum over classes of |share of the class|.

    Args:
      tables: of each feature.
      queries: int64 [q, n_features], positions in the tables' values.
      others: int64 [m, n_features].
    """
    total = np.zeros((len(queries), len(others)))
    for table, mine, theirs in zip(tables, queries.T, others.T, strict=True):
        values, at = np.unique(mine, return_inverse=True)
        difference = cdist(table.shares[values], table.shares, "cityblock") ** 2
        total += difference[at.reshape(-1)[:, None], theirs]
    return total


def _positions(tables: tuple[ValueTable, ...], categories: np.ndarray) -> np.ndarray:
    """int64 [n, n_features]: where the tables have the values `categories` int64."""
    columns = zip(tables, categories.T, strict=True)
    return np.column_stack([np.searchsorted(table.values, column) for table, column in columns])


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    """int64 [q, k]: columns of the k smallest of each row of `values` [q, m], ties by column."""
    reach = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
    less, equal = values < reach, values == reach
    taken = less | (equal & (equal.cumsum(axis=1) <= k - less.sum(axis=1, keepdims=True)))
    columns = np.nonzero(taken)[1].reshape(-1, k)
    order = np.argsort(np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
