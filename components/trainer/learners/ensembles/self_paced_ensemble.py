"""Self-paced ensemble: each member's rows are chosen by how hard they are for those before.

Reference: Liu, Cao, Gao, Bian, Chen, Chang and Liu, "Self-paced Ensemble for Highly Imbalanced
Massive Data Classification", ICDE 2020, algorithm 1. As in the authors' program the first member,
of a random sample, counts in the ensemble.
"""

import numpy as np

from ...input import Rows
from ..base import Fitted, Task
from .committee import committee
from .data import Data, balanced, prepared, seeds
from .members import count, device, probabilities, say_done, train_one
from .subsets import balanced_subsets


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains members one after the other on balanced samples.

    A row's hardness is 1 - the mean probability of its class so far. Of every class larger than the
    smallest, hardness bins give rows in proportion to 1 / (mean hardness + alpha); alpha grows from
    round to round, so that easy rows come first and all bins equally in the end. Sample weights
    count in each member's loss; rows are drawn whatever their weight.

    Raises:
      UserError: a class has no rows.
    """
    data = prepared(train, task)
    n = count(task, 50)
    rng = np.random.default_rng([task.params.seed, n])
    hardness = np.zeros(len(data.labels))
    of_row = np.arange(len(data.labels)), data.labels
    members = []
    for number, seed in enumerate(seeds(task, n)):
        if number:
            alpha = np.tan(np.pi / 2 * number / (n - 1))
            index = self_paced(data, hardness / number, alpha, task.params.ensemble.bins, rng)
        else:
            (index,) = balanced_subsets(
                data.labels, len(task.classes), 1, task.params.seed, disjoint=False, replace=False
            )
        members.append(train_one(data, index, seed, val, task, number))
        if number < n - 1:
            hardness += 1 - probabilities(members[-1], data, task)[of_row]
        say_done(number + 1, n, task)
    return Fitted(committee(members, task), effect=balanced(data, task), device=device(task))


def self_paced(
    data: Data, hardness: np.ndarray, alpha: float, bins: int, rng: np.random.Generator
) -> np.ndarray:
    """int64 [n_classes * smallest], ascending: a balanced sample by hardness.

    Args:
      data: all rows.
      hardness: float64 [n] in [0, 1].
      alpha: the self-paced factor, above 0.
      bins: of equal width on [0, 1].
      rng: draws the rows of each bin.
    """
    chosen = []
    for k in range(len(data.counts)):
        rows = np.flatnonzero(data.labels == k)
        if len(rows) > data.smallest:
            place = np.clip((hardness[rows] * bins).astype(np.int64), 0, bins - 1)
            sizes = np.bincount(place, minlength=bins)
            total = np.bincount(place, hardness[rows], minlength=bins)
            weights = np.where(sizes > 0, 1 / (total / np.maximum(sizes, 1) + alpha), 0.0)
            wanted = shares(weights, sizes, data.smallest)
            rows = np.concatenate(
                [rng.choice(rows[place == b], wanted[b], replace=False) for b in range(bins)]
            )
        chosen.append(rows)
    return np.sort(np.concatenate(chosen))


def shares(weights: np.ndarray, sizes: np.ndarray, n: int) -> np.ndarray:
    """int64 [bins]: n rows in proportion to the weights, none above its size.

    What a bin cannot give the others do, in the same proportion; fractions go to the largest ones.

    Args:
      weights: float64 [bins], above 0 where sizes are.
      sizes: int64 [bins], rows of each, at least n in all.
      n: rows wanted.
    """
    full = np.zeros(len(sizes), bool)
    while True:
        free = np.where(full, 0.0, weights)
        left = n - int(sizes[full].sum())
        quota = np.where(full, sizes, free * left / max(free.sum(), np.finfo(float).tiny))
        over = ~full & (quota > sizes)
        if not over.any():
            break
        full |= over
    whole = np.floor(quota).astype(np.int64)
    order = np.argsort(whole - quota, kind="stable")
    order = order[whole[order] < sizes[order]]
    whole[order[: n - int(whole.sum())]] += 1
    return whole
