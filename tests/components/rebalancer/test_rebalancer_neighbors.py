"""Neighbour search against brute force."""

import numpy as np
import pytest

from tfx_imbalance.components.rebalancer import neighbors
from tfx_imbalance.components.rebalancer.neighbors import nearest_neighbors


def brute(numeric, k, categories=None, penalty=0.0):
    """By the definition, in Python, ties by row index."""
    result = []
    for i, row in enumerate(numeric.astype(np.float64)):
        squared = ((numeric.astype(np.float64) - row) ** 2).sum(axis=1)
        if categories is not None:
            squared += penalty**2 * (categories != categories[i]).sum(axis=1)
        order = sorted((d, j) for j, d in enumerate(squared.tolist()) if j != i)
        result.append([j for _, j in order[:k]])
    return np.array(result)


@pytest.mark.parametrize("width", [1, 3, 20])
def test_nearest_rows_by_distance(width):
    numeric = np.random.default_rng(width).normal(size=(150, width)).astype(np.float32)
    np.testing.assert_array_equal(nearest_neighbors(numeric, 5), brute(numeric, 5))


def test_as_many_rows_as_neighbours_allow():
    numeric = np.array([[0], [1], [5]], np.float32)
    np.testing.assert_array_equal(nearest_neighbors(numeric, 2), [[1, 2], [0, 2], [1, 0]])


def test_equal_rows_are_neighbours_of_each_other_but_never_of_themselves():
    numeric = np.zeros((40, 2), np.float32)
    numeric[30:] = 1
    found = nearest_neighbors(numeric, 3)
    assert not (found == np.arange(40)[:, None]).any()
    assert (found[:30] < 30).all()
    assert (found[30:] >= 30).all()


def test_far_away_values_keep_their_precision():
    numeric = (1e6 + np.arange(60, dtype=np.float32)[:, None] ** 2) * np.ones((1, 20), np.float32)
    np.testing.assert_array_equal(nearest_neighbors(numeric, 3), brute(numeric, 3))


@pytest.mark.parametrize("dense", [True, False])
def test_categories_add_the_penalty_for_each_that_differs(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr(neighbors, "_DENSE_COLUMNS", 0)
    rng = np.random.default_rng(2)
    numeric = rng.normal(size=(120, 2)).astype(np.float32)
    categories = rng.integers(0, 4, (120, 3))
    found = nearest_neighbors(numeric, 4, categories, 0.8)
    np.testing.assert_array_equal(found, brute(numeric, 4, categories, 0.8))
