"""How far from their shares classes are where groups may not be torn apart.

The same 363 random tables for ours and scikit-learn's StratifiedGroupKFold with 20 folds, merged
14, 3 and 3. Groups are of geometric, heavy-tailed or equal sizes, classes 2 to 5 with a rarest one
of .5 to 20 %, and groups lean towards classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from tfx_imbalance.components.example_gen import splits

from .claims import Claim

SEEDS = range(1000, 1363)
FOLDS = (14, 3, 3)
SHARES = (0.7, 0.15, 0.15)


def table(seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Group int64 [n] and class int64 [n] of each row, and the number of classes.

    Each class is in 3 groups at least, so that every split can have it; one has at least as many
    rows as there are folds, as scikit-learn demands.
    """
    rng = np.random.default_rng(seed)
    while True:
        n_groups = int(np.exp(rng.uniform(np.log(10), np.log(300))))
        kind = rng.integers(3)
        if kind == 0:
            sizes = rng.geometric(1 / rng.uniform(3, 40), n_groups)
        elif kind == 1:
            sizes = 1 + (rng.pareto(rng.uniform(1.1, 2.5), n_groups) * 10).astype(np.int64)
        else:
            sizes = np.full(n_groups, rng.integers(2, 30))
        sizes = np.minimum(sizes, 20_000)
        n_classes = int(rng.integers(2, 6))
        rare = np.exp(rng.uniform(np.log(0.005), np.log(0.2)))
        prior = np.append(rng.dirichlet(np.full(n_classes - 1, 3.0)) * (1 - rare), rare)
        leaning = rng.dirichlet(
            prior * np.exp(rng.uniform(np.log(1), np.log(100))) + 1e-3, n_groups
        )
        classes = np.concatenate(
            [rng.choice(n_classes, n, p=p) for n, p in zip(sizes, leaning, strict=True)]
        )
        groups = np.repeat(np.arange(n_groups), sizes)
        pairs = np.unique(groups * n_classes + classes)
        in_groups = np.bincount(pairs % n_classes, minlength=n_classes)
        if in_groups.min() >= 3 and np.bincount(classes).max() >= sum(FOLDS):
            return groups, classes, n_classes


def ours(groups: np.ndarray, classes: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """int [n]: the split of each row."""
    keys, unit = splits.units_of(groups)
    priority = splits.unit_priority(keys, unit, seed)
    return splits.exact(groups, priority, classes, n_classes, SHARES)[groups]


def scikit_learns(groups: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """int [n]: the split of each row."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(n_splits=sum(FOLDS), shuffle=True, random_state=seed)
    split = np.zeros(len(classes), np.int64)
    of_fold = np.repeat(np.arange(len(FOLDS)), FOLDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of fewer rows than folds
        for fold, (_, rows) in enumerate(folds.split(classes, classes, groups)):
            split[rows] = of_fold[fold]
    return split


def off(split: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """float64 [n_classes * 3]: absolute deviations of each class's share of its rows."""
    counts = np.bincount(classes * 3 + split, minlength=n_classes * 3).reshape(-1, 3)
    return np.abs(splits.deviations(counts, SHARES) / counts.sum(axis=1, keepdims=True)).ravel()


def run() -> Iterator[Claim]:
    """Mean and largest deviation over all sets, classes and splits."""
    found: dict[str, list[np.ndarray]] = {"ours": [], "theirs": []}
    for seed in SEEDS:
        groups, classes, n_classes = table(seed)
        mine = ours(groups, classes, n_classes, seed)
        theirs = scikit_learns(groups, classes, seed)
        found["ours"].append(off(mine, classes, n_classes))
        found["theirs"].append(off(theirs, classes, n_classes))
    mine, theirs = (np.concatenate(parts) for parts in found.values())
    how = f"{len(SEEDS)} random tables of 10 to 300 groups, 2 to 5 classes; 70/15/15"
    for name, figure in (("mean", np.mean), ("largest", np.max)):
        yield Claim.against(
            f"grouped split: {name} deviation of a class's share, against StratifiedGroupKFold(20)",
            100 * float(figure(mine)),
            100 * float(figure(theirs)),
            unit="points",
            at_least=1,
            better="less",
            detail=how,
        )
