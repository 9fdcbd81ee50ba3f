"""Rows as the one float32 matrix that trees split on: numbers first, then categories."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ..input import Feature, Rows

MAX_ONE_HOT = 64
"""Most ids of a column that becomes a column an id."""

MAX_SETS = 4096
"""Most ids of a column that trees may split by sets of ids; past it an id counts as a number."""


class Columns:
    """The matrix of what `pack` gives.

    An id as a number is a rank: ids are given by frequency, see pipeline/preprocessing.py.

    Args:
      features: the model's inputs, as `pack` lays them out.
      one_hot: a category of up to MAX_ONE_HOT ids becomes a 0/1 column for each (for libraries
        whose trees know numbers only); else, and without it, its id stays one column.
    """

    def __init__(self, features: Sequence[Feature], *, one_hot: bool = True) -> None:
        self._sizes = [f.categories for f in features if f.categories for _ in range(f.width)]
        self._numbers = sum(f.width for f in features if not f.categories)
        split = [one_hot and size <= MAX_ONE_HOT for size in self._sizes]
        widths = [size if s else 1 for size, s in zip(self._sizes, split, strict=True)]
        self._source = np.repeat(np.arange(len(widths)), widths).astype(np.int32)
        # The id that an output column tells from the others; -1 where it is the id itself.
        self._id = np.concatenate(
            [np.arange(w) if s else [-1] for w, s in zip(widths, split, strict=True)] or [[]]
        ).astype(np.int32)

    @property
    def width(self) -> int:
        """d, the matrix's columns."""
        return self._numbers + len(self._source)

    @property
    def feature_types(self) -> list[str]:
        """xgboost's type of each column: 'c' splits by sets of ids, 'q' by order."""
        sizes = np.array(self._sizes)[self._source]
        # An order of two ids splits them as well as sets do.
        sets = (self._id < 0) & (sizes > 2) & (sizes <= MAX_SETS)
        return ["q"] * self._numbers + np.where(sets, "c", "q").tolist()

    def matrix(self, rows: Rows) -> np.ndarray:
        """float32 [n, d], in rows' order."""
        ids = rows.categories[:, self._source]
        out = np.empty((len(rows), self.width), np.float32)
        out[:, : self._numbers] = rows.numbers
        out[:, self._numbers :] = np.where(self._id < 0, ids, ids == self._id)
        return out

    def __call__(self, packed: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """float32 [n, d] of (numbers float32 [n, ...], categories int32 [n, ...])."""
        numbers, categories = packed
        if not len(self._source):
            return numbers
        ids = tf.gather(categories, self._source, axis=1)
        if (self._id >= 0).any():
            ids = tf.where(self._id < 0, ids, tf.cast(ids == self._id, tf.int32))
        return tf.concat([numbers, tf.cast(ids, tf.float32)], axis=1)


def matrix(rows: Rows, features: Sequence[Feature], *, one_hot: bool = True) -> np.ndarray:
    """float32 [n, d], what `Columns` gives."""
    return Columns(features, one_hot=one_hot).matrix(rows)
