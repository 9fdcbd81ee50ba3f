"""Decoded rows, and a split of them as samplers see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from typing_extensions import Self

from .features import Features

COPIED = ""
"""Column of a row's features that are copied, as a serialized tf.train.Features; '' names none."""


class Rows(NamedTuple):
    """Decoded rows of one or several classes.

    Attributes:
      ids: int64 [n], identities, which tell equal rows apart, too.
      codes: int64 [n], class indices.
      columns: name -> float32 or int64 (in memory float64, too), [n] or for vectors [n, width], by
        `Features.types`; COPIED -> object [n] of bytes where `Features.copied` names any; and
        ROW_ID -> int64 [n], identities of content, where synthetic rows are to name them.
    """

    ids: np.ndarray
    codes: np.ndarray
    columns: dict[str, np.ndarray]

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts, of which there is at least one and which have the same columns."""
        names = parts[0].columns
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.codes for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in names},
        )

    def take(self, index: np.ndarray | slice) -> "Rows":
        """The rows at `index`."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Rows(self.ids[index], self.codes[index], columns)

    def canonical_order(self) -> np.ndarray:
        """int64 [n]: by identity, class, then content, whatever order the rows came in."""
        order = np.lexsort([self.codes, self.ids])
        ids, codes = self.ids[order], self.codes[order]
        twin = (ids[1:] == ids[:-1]) & (codes[1:] == codes[:-1])
        tied = np.append(twin, False) | np.insert(twin, 0, False)
        if len(order) and tied.any():
            # Identities tell equal rows apart, so these were copied after they got theirs. They
            # differ, if at all, in what is no part of it: the weight.
            among = order[tied]
            columns = [
                key
                for name, column in self.columns.items()
                if name != COPIED
                for key in np.atleast_2d(column[among].T)
            ]
            keys = [*reversed(columns), self.codes[among], self.ids[among]]
            order[tied] = among[np.lexsort(keys)]
        return order

    def ordered(self) -> "Rows":
        """In canonical order."""
        return self.take(self.canonical_order())


class Origin(NamedTuple):
    """Where synthetic rows come from.

    Attributes:
      base: int64 [s], identity of the row each was made of: that of its content where rows have it.
      neighbor: int64 [s], of the row it lies towards; of the base where there is none.
      gap: float32 [s], how far on the way.
      method: of the sampler.
    """

    base: np.ndarray
    neighbor: np.ndarray
    gap: np.ndarray
    method: str

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """All of at least one part, of the same method."""
        base, neighbor, gap = (
            np.concatenate([part[i] for part in parts])  # type: ignore[misc]
            for i in range(3)
        )
        return cls(base, neighbor, gap, parts[0].method)

    def take(self, index: np.ndarray | slice) -> "Origin":
        """Of the rows at `index`."""
        return Origin(self.base[index], self.neighbor[index], self.gap[index], self.method)


@dataclass(frozen=True)
class Whole:
    """What is known of all rows of a split of which a sampler has only those that matter.

    Attributes:
      rows: int64 [n_classes], rows of each class.
      counts: what the sampler's `counter` gave of all rows together.
      sample: the sampler's `sample_rows` with the smallest hashes, in canonical order; None where
        it wants none.
    """

    rows: np.ndarray
    counts: tuple[np.ndarray, ...] = ()
    sample: Rows | None = None


@dataclass(frozen=True)
class Split:
    """Rows that a sampler looks at in one place: of the whole split, or of some classes.

    Attributes:
      rows: `ordered`, every float finite.
      classes: all class names; a class's code is its index.
      features: which columns are numeric, categorical, weight.
      seed: of everything that is drawn.
      whole: None where the rows are all that the sampler reads.
    """

    rows: Rows
    classes: tuple[str, ...]
    features: Features
    seed: int
    whole: Whole | None = None

    def __len__(self) -> int:
        return len(self.rows.ids)

    @property
    def class_rows(self) -> np.ndarray:
        """int64 [n_classes], rows of each class, those that are elsewhere among them."""
        if self.whole is not None:
            return self.whole.rows
        return np.bincount(self.rows.codes, minlength=len(self.classes))

    def of_class(self, code: int) -> np.ndarray:
        """int64 [m], indices of a class's rows, ascending."""
        return np.flatnonzero(self.rows.codes == code)

    @cached_property
    def numeric(self) -> np.ndarray:
        """float32 [n, d]: numeric features side by side in the order of `Features.numeric`.

        float64 where a column is not float32, whose values float32 might not tell apart. That
        depends on types alone, so that it is the same wherever some of the rows are looked at.
        """
        columns = [self.rows.columns[name] for name in self.features.numeric]
        exact = all(column.dtype == np.float32 for column in columns)
        wide = [np.atleast_2d(column.T).T for column in columns] or [np.empty((len(self), 0))]
        return np.concatenate(wide, axis=1, dtype=np.float32 if exact else np.float64)

    @cached_property
    def categories(self) -> np.ndarray:
        """int64 [n, c]: categorical features in the order of `Features.categorical`."""
        columns = [self.rows.columns[name] for name in self.features.categorical]
        return np.column_stack(columns) if columns else np.empty((len(self), 0), np.int64)

    @cached_property
    def rank(self) -> np.ndarray:
        """int64 [n]: how many rows of the same identity and class come before."""
        key = np.stack([self.rows.ids, self.rows.codes])
        new = np.append(True, (key[:, 1:] != key[:, :-1]).any(axis=0))[: len(self)]
        first = np.flatnonzero(new)
        return np.arange(len(self)) - np.repeat(first, np.diff(np.append(first, len(self))))
