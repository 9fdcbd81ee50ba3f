"""Neighbour search against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.rebalancer import neighbors
from tfx_imbalance.components.rebalancer.neighbors import Space, nearest


def nearest_neighbors(numeric, k, categories=None, penalty=0.0):
    return nearest(Space(numeric, categories, penalty), k)[0]


def brute(numeric, k, categories=None, penalty=0.0, queries=None, among=None):
    """By the definition, in Python, ties by row index."""
    n = len(numeric)
    result = []
    for i in range(n) if queries is None else queries:
        squared = ((numeric.astype(np.float64) - numeric[i]) ** 2).sum(axis=1)
        if categories is not None:
            squared += penalty**2 * (categories != categories[i]).sum(axis=1)
        rows = range(n) if among is None else among
        order = sorted((squared[j], j) for j in rows if j != i)
        result.append([j for _, j in order[:k]])
    return np.array(result)


@pytest.mark.parametrize("width", [1, 3, 20])
@pytest.mark.parametrize("method", ["tree", "brute"])
def test_nearest_rows_by_distance(width, method):
    numeric = np.random.default_rng(width).normal(size=(150, width)).astype(np.float32)
    found, distances = nearest(Space(numeric), 5, method=method)
    np.testing.assert_array_equal(found, brute(numeric, 5))
    difference = numeric[found].astype(np.float64) - numeric[:, None]
    np.testing.assert_allclose(distances, np.linalg.norm(difference, axis=2))


def test_as_many_rows_as_neighbours_allow():
    numeric = np.array([[0], [1], [5]], np.float32)
    np.testing.assert_array_equal(nearest_neighbors(numeric, 2), [[1, 2], [0, 2], [1, 0]])


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="3 neighbours need more than 3 rows, found 2"):
        nearest(Space(np.zeros((9, 1), np.float32)), 3, among=np.array([1, 2]))


def test_equal_rows_are_neighbours_of_each_other_but_never_of_themselves():
    numeric = np.zeros((40, 2), np.float32)
    numeric[30:] = 1
    found = nearest_neighbors(numeric, 3)
    np.testing.assert_array_equal(found, brute(numeric, 3))
    assert not (found == np.arange(40)[:, None]).any()


def test_far_away_values_keep_their_precision():
    numeric = (1e6 + np.arange(60, dtype=np.float32)[:, None] ** 2) * np.ones((1, 20), np.float32)
    np.testing.assert_array_equal(nearest_neighbors(numeric, 3), brute(numeric, 3))


@pytest.mark.parametrize("method", ["tree", "brute"])
def test_a_huge_value_leaves_the_other_rows_exact(method):
    numeric = np.random.default_rng(3).normal(size=(200, 4)).astype(np.float32)
    numeric[17] = 1e18
    found, _ = nearest(Space(numeric), 5, method=method)
    np.testing.assert_array_equal(found, brute(numeric, 5))


@pytest.mark.parametrize("dense", [True, False])
def test_categories_add_the_penalty_for_each_that_differs(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr(neighbors, "_DENSE_COLUMNS", 0)
    rng = np.random.default_rng(2)
    numeric = rng.normal(size=(120, 2)).astype(np.float32)
    categories = rng.integers(0, 4, (120, 3))
    found = nearest_neighbors(numeric, 4, categories, 0.8)
    np.testing.assert_array_equal(found, brute(numeric, 4, categories, 0.8))


@pytest.mark.parametrize("dense", [True, False])
def test_categories_alone_make_a_distance(dense, monkeypatch):
    if not dense:
        monkeypatch.setattr(neighbors, "_DENSE_COLUMNS", 0)
    categories = np.random.default_rng(4).integers(0, 3, (300, 5))
    numeric = np.empty((300, 0), np.float32)
    found = nearest_neighbors(numeric, 4, categories, 0.3)
    np.testing.assert_array_equal(found, brute(numeric, 4, categories, 0.3))


@pytest.mark.parametrize("method", ["tree", "brute"])
@pytest.mark.parametrize("most", [1, 512])
def test_more_ties_than_spare_candidates_are_taken_in_row_order(method, most, monkeypatch):
    monkeypatch.setattr(neighbors, "_MOST", most)
    numeric = np.random.default_rng(5).permutation(np.eye(400, dtype=np.float32))[:, :390]
    found, _ = nearest(Space(numeric), 5, method=method)
    np.testing.assert_array_equal(found, brute(numeric, 5))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_search_equals_the_definition_on_grids(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n = data.draw(st.integers(3, 80))
    numeric = rng.integers(0, data.draw(st.integers(1, 5)), (n, data.draw(st.integers(1, 4))))
    numeric = (numeric * data.draw(st.sampled_from([1, 0.1, 1e4]))).astype(np.float32)
    categories = rng.integers(0, 3, (n, data.draw(st.integers(0, 2))))
    penalty = data.draw(st.sampled_from([0.0, 0.7, 3.0]))
    among = np.sort(rng.permutation(n)[: data.draw(st.integers(2, n))])
    k = data.draw(st.integers(1, len(among) - 1))
    queries = rng.permutation(n)[: data.draw(st.integers(0, n))]
    for method in ("tree", "brute"):
        found, _ = nearest(
            Space(numeric, categories, penalty), k, queries, among, threads=1, method=method
        )
        expected = brute(numeric, k, categories, penalty, queries, among).reshape(-1, k)
        np.testing.assert_array_equal(found, expected)


def test_threads_and_method_do_not_change_the_result():
    numeric = np.random.default_rng(6).integers(0, 3, (5000, 6)).astype(np.float32)
    numeric[::2] += np.random.default_rng(7).normal(size=(2500, 6)).astype(np.float32)
    results = [
        nearest(Space(numeric), 5, threads=threads, method=method)
        for threads, method in ((1, "brute"), (3, "brute"), (2, "tree"), (None, None))
    ]
    for found, distances in results[1:]:
        np.testing.assert_array_equal(found, results[0][0])
        np.testing.assert_array_equal(distances, results[0][1])
