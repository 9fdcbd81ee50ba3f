"""Local joins against exact search."""

import numpy as np
import pytest

from tfx_imbalance.components.rebalancer.joins import join
from tfx_imbalance.components.rebalancer.neighbors import Space, nearest


def start(points, k, seed=0):
    """Random neighbours, nearest first."""
    n = len(points)
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.choice(n - 1, k, replace=False) for _ in range(n)]).astype(np.int32)
    rows += rows >= np.arange(n)[:, None]
    difference = points[rows] - points[:, None]
    squared = np.einsum("nkf,nkf->nk", difference, difference)
    order = squared.argsort(axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(squared, order, axis=1)


def recall(points, rows, k):
    true, _ = nearest(Space(points), k)
    return (rows[:, :k, None] == true[:, None]).any(axis=1).mean()


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)


def test_rounds_find_the_neighbours_from_random_ones(points):
    rows, squared = start(points, 16)
    reached = [recall(points, rows, 5)]
    for _ in range(7):
        join(points, rows, squared, 16)
        reached.append(recall(points, rows, 5))
    assert reached[0] < 0.05
    assert (np.diff(reached) >= 0).all()
    assert reached[-1] >= 0.98


def test_lists_stay_sorted_different_and_true(points):
    rows, squared = start(points, 12)
    before = squared.copy()
    join(points, rows, squared, 8)
    assert (np.diff(squared, axis=1) >= 0).all()
    assert (squared <= before).all()
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()
    assert not (rows == np.arange(len(points))[:, None]).any()
    difference = points[rows].astype(np.float64) - points[:, None]
    np.testing.assert_allclose(squared, (difference**2).sum(axis=2), rtol=1e-5)


def test_missing_neighbours_are_filled(points):
    rows, squared = start(points, 12)
    rows[:, 4:], squared[:, 4:] = -1, np.inf
    for _ in range(3):
        join(points, rows, squared, 12)
    assert (rows >= 0).all()
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()


def test_threads_do_not_change_joins(points):
    results = []
    for threads in (1, 3):
        rows, squared = start(points, 12)
        join(points, rows, squared, 8, threads)
        results.append(rows)
    np.testing.assert_array_equal(*results)
