"""Stratified folds that tear no unit apart: rows with equal identity, or of one group.

scikit-learn's StratifiedGroupKFold has the same aim; its loop over all groups takes minutes for a
million rows that are a group each, and what it gives depends on the rows' order.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from ..example_gen.splits import units_of
from ..hashing import keyed


def row_units(ids: np.ndarray, grouped: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """The unit of each row, named by the smallest identity in it.

    Args:
      ids: int64 [n], identities.
      grouped: int64 [m] identities and int64 [m] groups, of at least these rows; groups that
        share an identity are one unit.

    Returns:
      int64 [n].

    Raises:
      UserError: an identity has no group.
    """
    if grouped is None:
        return ids
    known, groups = grouped
    distinct, unit = units_of(groups, known)
    unit = unit[np.searchsorted(distinct, groups)]
    smallest = np.full(unit.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, unit, known)
    order = np.argsort(known)
    at = order[np.searchsorted(known, ids, sorter=order).clip(max=len(order) - 1)]
    if not np.array_equal(known[at], ids):
        raise UserError(
            "Tuner: rows of the transformed train are missing in raw_examples; connect the "
            "examples that Transform read"
        )
    return smallest[unit[at]]


def stratified(
    units: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    folds: int,
    seed: int,
    purpose: str = "folds",
) -> np.ndarray:
    """The fold of each row, each class spread as evenly as its units allow.

    Units of several rows come first, those with the largest share of a class at the head: each
    goes where it adds least to the sum of squares of the classes' shares, thus to their variance
    over folds. Single rows then level every class, to one row where no unit is larger than that.
    Depends on identities and seed, not on the rows' order.

    Args:
      units: int64 [n], names of units.
      labels: int [n], class index.
      classes: class names.
      folds: how many, at least 2.
      seed: of the order in which units are taken.
      purpose: tells draws of one seed apart.

    Returns:
      int64 [n], from 0.

    Raises:
      UserError: a class has fewer units than folds, or lies in so few of them that a fold lacks it.
    """
    names, unit = np.unique(units, return_inverse=True)
    pairs, rows = np.unique(unit * len(classes) + labels, return_counts=True)
    owner, cls = np.divmod(pairs, len(classes))
    totals = np.bincount(labels, minlength=len(classes))
    _must_suffice(np.bincount(cls, minlength=len(classes)), classes, folds)
    words = keyed(names, seed, purpose)
    sizes = np.bincount(unit)
    fold = np.zeros(len(names), np.int64)
    placed = np.zeros((folds, len(classes)), np.int64)

    first = np.searchsorted(owner, np.arange(len(names) + 1))
    share = np.maximum.reduceat(rows / totals[cls], first[:-1])
    heavy = np.flatnonzero(sizes > 1)
    for u in heavy[np.lexsort((words[heavy], -share[heavy]))].tolist():
        part = slice(first[u], first[u + 1])
        which, n = cls[part], rows[part]
        added = placed[:, which] @ (n / totals[which] ** 2)
        fold[u] = np.lexsort((placed.sum(axis=1), added))[0]
        placed[fold[u], which] += n

    single = np.flatnonzero(sizes == 1)
    code = cls[first[:-1]][single]
    for k in range(len(classes)):
        mine = single[code == k]
        mine = mine[np.argsort(words[mine], kind="stable")]
        more = _levelling(placed[:, k], len(mine), placed.sum(axis=1))
        fold[mine] = np.repeat(np.arange(folds), more)
        placed[:, k] += more
    if (placed == 0).any():
        at, k = np.argwhere(placed == 0)[0]
        raise UserError(
            f"tune.folds: found {folds}, but the rows of class {classes[k]!r} lie in so few groups "
            f"of train that fold {at + 1} has none; lower tune.folds"
        )
    return fold[unit]


def _must_suffice(units: np.ndarray, classes: Sequence[str], folds: int) -> None:
    k = int(np.argmin(units))
    if units[k] < folds:
        raise UserError(
            f"tune.folds: found {folds}, but class {classes[k]!r} has {units[k]} different rows or "
            f"groups in train; expected at most {units[k]}"
            + ("; set tune.folds to that, or" if units[k] > 1 else ";")
            + " turn tune.enabled off"
        )


def _levelling(placed: np.ndarray, new: int, tie: np.ndarray) -> np.ndarray:
    """int64 [k] of sum `new`: what to add to make counts as even as can be.

    Where a row is left over, it goes to a fold with the smallest `tie`.
    """
    order = np.lexsort((tie, placed))
    for lowest in range(len(placed), 0, -1):
        among = order[:lowest]
        level, over = divmod(int(placed[among].sum()) + new, lowest)
        if level >= placed[among[-1]]:
            break
    more = np.zeros(len(placed), np.int64)
    more[among] = level - placed[among]
    more[among[np.argsort(tie[among], kind="stable")[:over]]] += 1
    return more
