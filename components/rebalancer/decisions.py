"""Which rows a sampler that has seen them all wants how often, told to those who write them."""

from dataclasses import dataclass

import numpy as np

from .. import hashing


@dataclass(frozen=True)
class Decisions:
    """Copies of rows by identity and class; only the exceptions are listed.

    Rows of equal identity and class are interchangeable: what is decided is how often they are
    written all together, as evenly as can be.

    Attributes:
      usual: int64 [n_classes], copies of a row that is not listed.
      keys: uint64 [m], ascending, of the listed rows.
      times: int64 [m], copies of each row of that key.
      extra: int64 [m], so many rows of that key once more.
    """

    usual: np.ndarray
    keys: np.ndarray
    times: np.ndarray
    extra: np.ndarray

    @classmethod
    def listed(
        cls,
        ids: np.ndarray,
        codes: np.ndarray,
        copies: np.ndarray,
        n_classes: int,
        usual: np.ndarray | None = None,
    ) -> "Decisions":
        """From the copies of rows, their identities and classes, int64 [n] each.

        These are all rows, or the `usual` copies int64 [n_classes] of the others are given.
        """
        keys, first, rows = np.unique(keys_of(ids, codes), return_index=True, return_counts=True)
        order = np.argsort(keys_of(ids, codes), kind="stable")
        starts = np.cumsum(rows) - rows
        total = np.add.reduceat(copies[order], starts) if len(keys) else np.empty(0, np.int64)
        times, extra = np.divmod(total, rows)
        owner = codes[first]
        kept = np.bincount(owner, rows * (times > 0), n_classes)
        if usual is None:
            usual = (kept * 2 >= np.bincount(owner, rows, n_classes)).astype(np.int64)
        odd = (times != usual[owner]) | (extra > 0)
        return cls(usual, keys[odd], times[odd], extra[odd])

    @classmethod
    def without(cls, keys: np.ndarray, rows: np.ndarray, n_classes: int) -> "Decisions":
        """All rows once, but for some.

        Args:
          keys: uint64 [m], `keys_of` the rows that go, in any order.
          rows: int64 [m], how many there are of that key.
          n_classes: number of classes.
        """
        keys, first, gone = np.unique(keys, return_index=True, return_counts=True)
        times, extra = np.divmod(rows[first] - gone, rows[first])
        return cls(np.ones(n_classes, np.int64), keys, times, extra)

    def of(
        self, ids: np.ndarray, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Copies int64 [n] of each row, its key uint64 [n], and where rows are left to settle.

        Args:
          ids: int64 [n], identities.
          codes: int64 [n], class indices.

        Returns:
          copies; keys; edge bool [n]: some of the rows of this key, `within` int64 [n], are written
          once more.
        """
        keys = keys_of(ids, codes)
        copies, within = self.usual[codes], np.zeros(len(ids), np.int64)
        if len(self.keys):
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            found = self.keys[at] == keys
            copies = np.where(found, self.times[at], copies)
            within = np.where(found, self.extra[at], 0)
        return copies, keys, within > 0, within


def keys_of(ids: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """uint64 [n], one for each pair of identity and class."""
    with np.errstate(over="ignore"):
        return hashing.splitmix64(ids.view(np.uint64) + hashing.splitmix64(codes.astype(np.uint64)))
