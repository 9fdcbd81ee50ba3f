"""Which split a row belongs to. Pure functions of identities, classes, times and seed.

A unit is what must not be torn apart: rows with one key (equal features, or one group), and groups
that share equal rows. Splits are numbered as in names.SPLITS: 0 train, 1 val, 2 test.
"""

import numpy as np

from ..hashing import keyed, uniform
from ..names import SPLITS

Shares = tuple[float, float, float]
_PURPOSE = "split"
_MIXED, _REPEATED, _SINGLE = 0, 1, 2


def apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """int64 [k] of sum `total`, as `weights` ask, by largest remainder; ties to the first.

    Hamilton's method: every part is its quota rounded down or up.
    """
    quota = np.round(total * np.asarray(weights, dtype=np.float64) / np.sum(weights), 9)
    parts = np.floor(quota).astype(np.int64)
    first = np.argsort(-(quota - parts), kind="stable")
    parts[first[: total - int(parts.sum())]] += 1
    return parts


def stable(keys: np.ndarray, shares: Shares, seed: int) -> np.ndarray:
    """int8 [n]: the split of each key by fixed thresholds of its hash, whatever other rows exist.

    Args:
      keys: int64 [n].
      shares: of train, val and test; their sum is 1.
      seed: of the hash.
    """
    at = uniform(keyed(keys, seed, _PURPOSE))
    return np.searchsorted(np.cumsum(shares)[:2], at, side="right").astype(np.int8)


def units_of(keys: np.ndarray, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unites keys that share an id.

    Args:
      keys: int64 [n].
      ids: int64 [n] identities of rows, where equal rows may have different keys; None: they
        may not.

    Returns:
      Distinct keys int64 [k], sorted, and the unit int64 [k] of each, from 0.
    """
    distinct, key = np.unique(keys, return_inverse=True)
    if ids is None:
        return distinct, np.arange(len(distinct))
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    distinct_ids, row = np.unique(ids, return_inverse=True)
    nodes = len(distinct) + len(distinct_ids)
    edges = coo_matrix((np.ones(len(key), bool), (key, len(distinct) + row)), (nodes, nodes))
    _, component = connected_components(edges, directed=False)
    return distinct, np.unique(component[: len(distinct)], return_inverse=True)[1]


def exact(
    units: np.ndarray, priority: np.ndarray, classes: np.ndarray, n_classes: int, shares: Shares
) -> np.ndarray:
    """Splits every class by `shares`, exact to one row, or to a unit's size where rows repeat.

    Units are taken in the order of `priority`. First those that mix classes are laid out, cut by
    the rows of the rarest class in them; then those of one class with several rows; single rows
    fill what is left to the exact count. At last a class that a split lacks gets one unit there.

    Args:
      units: int64 [n], the unit of each row, from 0.
      priority: uint64 [u], a pseudo-random word of each unit.
      classes: int [n], the class of each row, from 0.
      n_classes: number of classes.
      shares: of train, val and test; their sum is 1.

    Returns:
      int8 [u], the split of each unit.
    """
    pairs, rows = np.unique(units * n_classes + classes, return_counts=True)
    unit, cls = np.divmod(pairs, n_classes)
    totals = np.bincount(cls, rows, n_classes).astype(np.int64)
    targets = np.array([apportion(total, np.array(shares)) for total in totals])
    rarest_first = np.lexsort((cls, totals[cls], unit))
    _, head = np.unique(unit[rarest_first], return_index=True)
    head = rarest_first[head]  # [u]: the pair of each unit with its rarest class
    mixed = np.bincount(unit, minlength=len(priority)) > 1
    stage = np.where(mixed, _MIXED, np.where(rows[head] > 1, _REPEATED, _SINGLE))
    order = np.lexsort((priority, cls[head], stage))
    starts = np.flatnonzero(np.diff(stage[order] * n_classes + cls[head][order], prepend=-1))

    split = np.zeros(len(priority), dtype=np.int8)
    placed = np.zeros((n_classes, len(SPLITS)), dtype=np.int64)
    now = _MIXED
    for run in np.split(order, starts[1:]):
        if stage[run[0]] != now:
            now = stage[run[0]]
            placed = _placed(split, unit, cls, rows, stage[unit] < now, n_classes)
        which = cls[head[run[0]]]
        left = np.maximum(targets[which] - placed[which], 0)
        split[run] = _cut(rows[head[run]], left if left.any() else np.array(shares))
    _complete(split, unit, cls, rows, priority, totals[:, None] * np.array(shares))
    return split


def temporal(units: np.ndarray, times: np.ndarray, shares: Shares) -> np.ndarray | None:
    """Oldest units to train, then val, then test; a unit is as old as its oldest row.

    Args:
      units: int64 [n], the unit of each row, from 0.
      times: int64 [n].
      shares: of train, val and test; their sum is 1.

    Returns:
      int8 [u], the split of each unit, units of one time together; cuts are where the rows'
      shares come closest to what was asked, no split empty. None: fewer than 3 distinct times.
    """
    n_units = int(units.max()) + 1
    first = np.full(n_units, np.iinfo(np.int64).max)
    np.minimum.at(first, units, times)
    distinct, time = np.unique(first, return_inverse=True)
    if len(distinct) < len(SPLITS):
        return None
    until = np.cumsum(np.bincount(time, np.bincount(units)))
    wanted = np.cumsum(shares)[:2] * len(units)
    train = int(np.argmin(np.abs(until[:-2] - wanted[0])))
    val = train + 1 + int(np.argmin(np.abs(until[train + 1 : -1] - wanted[1])))
    return np.array(np.searchsorted([train, val], time, side="left"), dtype=np.int8)


def unit_priority(keys: np.ndarray, units: np.ndarray, seed: int) -> np.ndarray:
    """uint64 [u]: the smallest keyed hash of a unit's keys; of identity and seed alone."""
    priority = np.full(int(units.max()) + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(priority, units, keyed(keys, seed, _PURPOSE))
    return priority


def _cut(sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int8 [u]: units laid end to end and cut in proportion to `weights`, each by its middle.

    Units that are larger than any part but the largest go there beforehand.
    """
    parts = apportion(int(sizes.sum()), weights)
    largest = int(np.argmax(parts))
    fits = sizes <= np.max(np.delete(parts, largest))
    parts[largest] -= sizes[~fits].sum()
    parts = np.maximum(parts, 0)
    split = np.full(len(sizes), largest, dtype=np.int8)
    if fits.any():
        bounds = np.cumsum(apportion(int(sizes[fits].sum()), parts))[:2]
        middle = np.cumsum(sizes[fits]) - sizes[fits] / 2
        split[fits] = np.searchsorted(bounds, middle, side="right")
    return split


def _placed(
    split: np.ndarray,
    unit: np.ndarray,
    cls: np.ndarray,
    rows: np.ndarray,
    done: np.ndarray,
    n_classes: int,
) -> np.ndarray:
    """int64 [n_classes, 3]: rows of each class in each split, over the pairs that are done."""
    cell = cls[done] * len(SPLITS) + split[unit[done]]
    size = n_classes * len(SPLITS)
    return np.bincount(cell, rows[done], size).astype(np.int64).reshape(n_classes, -1)


def _complete(
    split: np.ndarray,
    unit: np.ndarray,
    cls: np.ndarray,
    rows: np.ndarray,
    priority: np.ndarray,
    asked: np.ndarray,
) -> None:
    """Moves a unit that can be spared to each split that lacks a class, in place.

    It comes from the split with most rows of the class above what was `asked`, float64
    [n_classes, 3]; the smallest unit there is taken.
    """
    n_classes = len(asked)
    size = np.bincount(unit, rows)
    every = np.ones(len(unit), dtype=bool)
    for which, wanted in np.argwhere(_placed(split, unit, cls, rows, every, n_classes) == 0):
        units_in = _placed(split, unit, cls, np.ones_like(rows), every, n_classes)
        if units_in[which, wanted]:
            continue  # an earlier move brought it
        surplus = _placed(split, unit, cls, rows, every, n_classes)[which] - asked[which]
        holders = unit[cls == which]
        for holder in holders[
            np.lexsort((priority[holders], size[holders], -surplus[split[holders]]))
        ]:
            if (units_in[cls[unit == holder], split[holder]] > 1).all():
                split[holder] = wanted
                break
