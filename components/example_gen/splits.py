"""Which split a row belongs to. Pure functions of identities, classes, times and seed.

A unit is what must not be torn apart: rows with one key (one identity, or one group), and groups
that share equal rows; or a single row, where copies may part. Splits are numbered as in
names.SPLITS: 0 train, 1 val, 2 test.
"""

import numpy as np

from ..hashing import keyed, splitmix64, uniform
from ..names import SPLITS

Shares = tuple[float, float, float]
_PURPOSE = "split"
_MOST_PATTERNS = 400
_MOST_CELLS = 400_000  # of patterns by classes
_MOST_CHANGES = 300
_LEAST_GAIN = 1e-12
_LACKING = 100.0  # more than all squares of shares together


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
    """Splits every class by `shares`, exact to one row, or as near as units of several rows allow.

    Units of several rows are laid out greedily, those with the largest share of a class first, and
    moved or swapped while that brings the splits nearer to the shares; single rows then fill what
    is left to the exact count. At last a class that a split lacks gets one unit there.

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
    heavy = np.bincount(unit, rows, len(priority)) > 1
    split = np.zeros(len(priority), dtype=np.int8)
    of_heavy = heavy[unit]
    if of_heavy.any():
        layout = _Layout(unit[of_heavy], cls[of_heavy], rows[of_heavy], priority, totals, shares)
        layout.place()
        layout.refine()
        layout.write(split)
    placed = _placed(split, unit, cls, rows, of_heavy, n_classes)
    single, code = unit[~of_heavy], cls[~of_heavy]
    order = np.lexsort((priority[single], code))
    bounds = np.searchsorted(code[order], np.arange(n_classes + 1))
    for which in np.flatnonzero(np.diff(bounds)):
        mine = single[order[bounds[which] : bounds[which + 1]]]
        parts = apportion(len(mine), _filling(placed[which] - targets[which], len(mine)))
        split[mine] = np.repeat(np.arange(len(SPLITS)), parts)
    _complete(split, unit, cls, rows, priority, totals[:, None] * np.array(shares))
    return split


def deviations(counts: np.ndarray, shares: Shares) -> np.ndarray:
    """float64 [k, 3]: rows more (or, negative, fewer) than the share, of counts [k, 3]."""
    return counts - counts.sum(axis=1, keepdims=True) * np.array(shares)


def worst_miss(counts: np.ndarray, shares: Shares, points: float, rows: float) -> float:
    """The largest deviation from the shares by what is allowed: more than 1 is too much.

    Args:
      counts: [k, 3], rows of each of k kinds in each split.
      shares: of train, val and test.
      points: allowed part of a kind's rows.
      rows: allowed in any case.
    """
    allowed = np.maximum(counts.sum(axis=1, keepdims=True) * points, rows)
    return float((np.abs(deviations(counts, shares)) / allowed).max(initial=0))


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


class _Layout:
    """Units of several rows, and in which split they are.

    Units with equal rows of each class are of one pattern and stand for one another: what is laid
    out are numbers of units of a pattern. The cost is the sum of squares of the classes' shares in
    each split, off what was asked of these units.
    """

    def __init__(
        self,
        unit: np.ndarray,
        cls: np.ndarray,
        rows: np.ndarray,
        priority: np.ndarray,
        totals: np.ndarray,
        shares: Shares,
    ) -> None:
        """unit, cls, rows [p]: pairs sorted by unit and class; totals [k]: rows of each class."""
        self._shares = np.array(shares)
        names, starts = np.unique(unit, return_index=True)
        words = splitmix64(cls.view(np.uint64) ^ splitmix64(rows.view(np.uint64)))
        word = np.add.reduceat(words, starts)
        _, example, pattern = np.unique(word, return_index=True, return_inverse=True)
        share = np.maximum.reduceat(rows / totals[cls], starts)
        first = np.full(len(example), np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(first, pattern, priority[names])
        order = np.lexsort((first, -share[example]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        self._units = names[np.lexsort((priority[names], rank[pattern]))]
        self._sizes = np.bincount(rank[pattern])
        ends = np.append(starts[1:], len(unit))
        self._parts = [
            (cls[a:b], rows[a:b].astype(np.float64))
            for a, b in zip(
                starts[example[order]].tolist(), ends[example[order]].tolist(), strict=True
            )
        ]
        self._weight = 1 / np.maximum(totals, 1).astype(np.float64) ** 2
        self._asked = np.bincount(cls, rows, len(totals))[:, None] * self._shares
        self._totals = totals
        self._placed = np.zeros((len(totals), len(SPLITS)))
        self._counts = np.zeros((len(order), len(SPLITS)), np.int64)

    def place(self) -> None:
        """Each pattern in turn where it keeps the splits in proportion: Sainte-Lague's divisors."""
        for at, ((cls, rows), size) in enumerate(
            zip(self._parts, self._sizes.tolist(), strict=True)
        ):
            weighted = rows * self._weight[cls]
            own = float(weighted @ rows)
            there = weighted @ self._placed[cls] / own  # in units of this pattern
            counts = np.zeros(len(SPLITS), np.int64)
            if size > 1:
                counts = np.floor(_filling(there, size, self._shares)).astype(np.int64)
            for _ in range(size - int(counts.sum())):
                counts[np.argmin((2 * (there + counts) + 1) / self._shares)] += 1
            self._counts[at] = counts
            self._placed[cls] += rows[:, None] * counts

    def refine(self) -> None:
        """Moves a unit, or swaps two, as long as that lowers the cost: the best change first.

        A class that a split lacks, and that no single rows will bring, costs more than all else.
        """
        pool = self._pool()
        vectors = np.zeros((len(pool), len(self._placed)))
        for row, at in zip(vectors, pool.tolist(), strict=True):
            row[self._parts[at][0]] = self._parts[at][1]
        vectors = np.vstack([vectors, np.zeros(len(self._placed))])  # a swap with it is a move
        products = (vectors * self._weight) @ vectors.T
        squares = np.diag(products)
        apart = squares[:, None] + squares - 2 * products
        alone = self._placed.sum(axis=1) > self._totals - len(SPLITS)
        has = (vectors > 0) & alone
        for _ in range(_MOST_CHANGES):
            off = self._placed - self._asked
            if np.abs(off).max() < 1 and not (self._placed[alone] == 0).any():
                return
            pull = (vectors * self._weight) @ off
            # Classes that a split loses with each pattern's unit, and that it gains.
            lost = ((vectors[:, :, None] == self._placed) & has[:, :, None]).sum(axis=1)
            gained = has.astype(np.int64) @ (self._placed == 0)
            there = np.vstack([self._counts[pool] > 0, np.ones(len(SPLITS), bool)])
            best = (-_LEAST_GAIN, 0, 0, 0, 0)
            for a, b in ((0, 1), (0, 2), (1, 2)):
                gain = pull[:, b] - pull[:, a]
                gain += _LACKING * (lost[:, a] - gained[:, b])
                change = gain[:, None] + (pull[:, a] - pull[:, b]) + apart
                change += _LACKING * (lost[:, b] - gained[:, a])
                change[~there[:, a]] = np.inf
                change[:, ~there[:, b]] = np.inf
                i, j = np.unravel_index(np.argmin(change), change.shape)
                best = min(best, (float(change[i, j]), int(i), int(j), a, b))
            if not best[0] < -_LEAST_GAIN:
                return
            _, one, other, a, b = best
            for k, source, goal in ((one, a, b), (other, b, a)):
                if k < len(pool):
                    self._counts[pool[k], source] -= 1
                    self._counts[pool[k], goal] += 1
                    self._placed[:, source] -= vectors[k]
                    self._placed[:, goal] += vectors[k]

    def write(self, split: np.ndarray) -> None:
        """Sets the split of each unit; of one pattern by their priority."""
        where = np.tile(np.arange(len(SPLITS)), len(self._counts))
        split[self._units] = np.repeat(where, self._counts.ravel())

    def _pool(self) -> np.ndarray:
        """Patterns that `refine` looks at: all, or some of every size."""
        most = max(2, min(_MOST_PATTERNS, _MOST_CELLS // len(self._placed)))
        return np.unique(np.linspace(0, len(self._parts) - 1, most).astype(np.int64))


def _filling(placed: np.ndarray, total: int, shares: np.ndarray | None = None) -> np.ndarray:
    """float64 [3] of sum `total`, from 0: what to add to `placed` to make it most level.

    Level is in proportion to `shares`, where they are given.
    """
    weights = np.ones(len(placed)) if shares is None else shares
    order = np.argsort(placed / weights)
    for lowest in range(len(placed), 0, -1):
        among = order[:lowest]
        level = (placed[among].sum() + total) / weights[among].sum()
        if level * weights[among[-1]] >= placed[among[-1]]:
            break
    more = np.zeros(len(placed))
    more[among] = level * weights[among] - placed[among]
    return np.maximum(more, 0)


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
