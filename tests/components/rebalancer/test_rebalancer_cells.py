"""Search by cells against exact search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.rebalancer import cells as cells_module
from tfx_imbalance.components.rebalancer.cells import (
    SAMPLE_QUERIES,
    Cells,
    merge,
    plan,
    recall_curves,
    sample_rows,
    search,
    search_cell,
    training_rows,
    vectors,
)
from tfx_imbalance.components.rebalancer.neighbors import Space, nearest

K = 5


def gaussian(n, width=16, seed=0):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def overlap(found, true):
    return (found[:, :, None] == true[:, None]).any(axis=1).mean()


@pytest.mark.parametrize("max_asks", [1, 4])
def test_measured_recall_is_that_of_the_search_on_the_sample(max_asks):
    space, ids = Space(gaussian(6000, 8)), np.arange(6000)
    found, measured = search(space, K, ids, 3, exact_rows=0, max_asks=max_asks, joins=False)
    queries = sample_rows(ids, 3)[:SAMPLE_QUERIES]
    true, _ = nearest(space, K, queries)
    assert measured == pytest.approx(overlap(found[queries], true))
    assert 0.97 <= measured < 1


@pytest.mark.parametrize(
    "numeric",
    [
        gaussian(8000),
        gaussian(8000, 2) @ gaussian(2, 16),
        (gaussian(8000) + 9 * gaussian(30, seed=1)[np.arange(8000) % 30]),
        gaussian(8000) * np.float32(10) ** (np.arange(8000)[:, None] % 4),
    ],
    ids=["gaussian", "plane", "blobs", "scales"],
)
def test_recall_holds_on_rows_that_were_not_sampled(numeric):
    ids = np.arange(len(numeric))
    found, _ = search(Space(numeric), K, ids, 0, exact_rows=0)
    true, _ = nearest(Space(numeric), K)
    others = sample_rows(ids, 0)[SAMPLE_QUERIES:]
    assert overlap(found[others], true[others]) >= 0.95
    assert not (found == ids[:, None]).any()
    assert (np.diff(np.sort(found, axis=1), axis=1) > 0).all()


def test_few_rows_are_searched_exactly():
    space = Space(gaussian(300))
    found, recall = search(space, K, np.arange(300), 0)
    assert recall == 1.0
    np.testing.assert_array_equal(found, nearest(space, K)[0])


def test_all_neighbours_are_found_where_all_are_asked_for():
    space = Space(gaussian(3000, 4))
    found, recall = search(space, K, np.arange(3000), 0, exact_rows=0, recall=1.0)
    queries = sample_rows(np.arange(3000), 0)[:SAMPLE_QUERIES]
    assert recall == 1.0
    np.testing.assert_array_equal(found[queries], nearest(space, K, queries)[0])


def test_cells_grow_where_probes_do_not_suffice(monkeypatch):
    monkeypatch.setattr(cells_module, "MAX_PROBES", 4)
    numeric = gaussian(5000, 30)
    _, recall = search(Space(numeric), K, np.arange(5000), 0, exact_rows=0, max_asks=1)
    assert recall >= 0.97


def test_threads_do_not_change_the_result():
    space, ids = Space(gaussian(4000, 6)), np.arange(4000)
    one, three = (search(space, K, ids, 0, exact_rows=0, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one[0], three[0])
    assert one[1] == three[1]


def test_seed_decides_on_the_cells():
    space, ids = Space(gaussian(4000, 6)), np.arange(4000)
    results = [search(space, K, ids, seed, exact_rows=0)[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


def test_rows_that_are_mostly_equal_are_neighbours_of_their_copies():
    numeric = gaussian(4000, 6)
    numeric[1000:] = 0.5
    ids = np.minimum(np.arange(4000), 1000)
    found, _ = search(Space(numeric), K, ids, 0, exact_rows=0)
    true, _ = nearest(Space(numeric), K)
    np.testing.assert_array_equal(found[1000:], true[1000:])
    assert overlap(found, true) >= 0.95


@pytest.mark.parametrize("distinct", [1, 2, 7])
def test_few_different_rows(distinct):
    numeric = gaussian(distinct, 3)[np.arange(600) % distinct]
    found, recall = search(Space(numeric), K, np.arange(600) % distinct, 0, exact_rows=0)
    np.testing.assert_array_equal(found, nearest(Space(numeric), K)[0])
    assert recall == 1.0


def test_categories_take_part():
    rng = np.random.default_rng(1)
    space = Space(gaussian(5000, 4), rng.integers(0, 4, (5000, 3)), 1.5)
    found, measured = search(space, K, np.arange(5000), 0, exact_rows=0)
    assert measured >= 0.97
    assert overlap(found, nearest(space, K)[0]) >= 0.95


def test_vectors_are_about_as_far_apart_as_the_rows():
    categories = np.random.default_rng(2).integers(0, 50, (400, 6))
    space = Space(gaussian(400, 3), categories, 2.0)
    rows, others = np.arange(200), np.arange(200, 400)
    matrix = vectors(space)
    apart = ((matrix[rows] - matrix[others]) ** 2).sum(axis=1)
    assert np.mean(apart / space.squared(rows, others[:, None])[:, 0]) == pytest.approx(1, abs=0.1)


def test_nearest_cells_are_by_distance_then_number_in_any_batch():
    grid = np.stack(np.meshgrid(*3 * [np.arange(4.0)]), axis=-1).reshape(-1, 3).astype(np.float32)
    cells = Cells(grid[np.random.default_rng(0).permutation(64)])
    rows = np.random.default_rng(1).integers(0, 7, (300, 3)).astype(np.float32) / 2
    squared = ((rows[:, None] - cells.centroids) ** 2).sum(axis=2)
    expected = squared.argsort(axis=1, kind="stable")
    for p in (1, 6, 64):
        np.testing.assert_array_equal(cells.nearest(rows, p), expected[:, :p])
    parts = [cells.nearest(part, 6) for part in np.array_split(rows, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), expected[:, :6])


def test_every_cell_holds_enough_rows():
    numeric = gaussian(2000, 3)
    numeric[:3] = 1e4 * gaussian(3, 3)
    cells = Cells.fit(numeric, 100, K, 0)
    assert np.bincount(cells.nearest(numeric, 1)[:, 0], minlength=len(cells)).min() > K


def test_a_cell_by_itself_gives_what_the_driver_gives():
    """What a distributed engine does: group by cell, search, merge."""
    numeric, ids = gaussian(3000, 6), np.arange(3000)
    order = sample_rows(ids, 0)
    queries, rest = order[:SAMPLE_QUERIES], order[SAMPLE_QUERIES:]
    true, _ = nearest(Space(numeric), K, queries)
    sample = numeric[rest[: training_rows(3000)]]
    how = plan(sample, numeric[queries], numeric[true], 3000, 0)
    probes = how.cells.nearest(numeric, how.probes)
    asks = how.cells.nearest(numeric, how.asks)
    found = np.empty((3000, how.asks, K), np.int64)
    distances = np.empty((3000, how.asks, K))
    for cell in range(len(how.cells)):
        rows = np.flatnonzero((probes == cell).any(axis=1) | (asks == cell).any(axis=1))
        asking, slot = np.nonzero(asks[rows] == cell)
        answer, far = search_cell(Space(numeric[rows]), K, asking)
        found[rows[asking], slot] = rows[answer]
        distances[rows[asking], slot] = far
    expected, _ = search(Space(numeric), K, ids, 0, exact_rows=0, joins=False)
    np.testing.assert_array_equal(merge(found, distances), expected)


def test_curves_rise_to_all():
    numeric = gaussian(1500, 5)
    true, _ = nearest(Space(numeric), K, np.arange(100))
    cells = Cells.fit(numeric[100:], 30, K, 0)
    curves = recall_curves(cells, numeric[:100], numeric[true])
    assert (np.diff(curves, axis=0) >= 0).all()
    assert (np.diff(curves, axis=1) >= 0).all()
    np.testing.assert_array_equal(curves[:, -1], 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5))
def test_merging_keeps_the_nearest_once_each(seed, asks, k):
    rng = np.random.default_rng(seed)
    far = rng.integers(0, 4, 12) / 4
    answers = [
        sorted(rng.permutation(12)[:k].tolist(), key=lambda j: (far[j], j)) for _ in range(asks)
    ]
    merged = merge(np.array([answers]), far[np.array([answers])])
    everything = sorted({j for answer in answers for j in answer}, key=lambda j: (far[j], j))
    np.testing.assert_array_equal(merged[0], everything[:k])


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="5 neighbours need more than 5 rows"):
        search(Space(gaussian(5)), K, np.arange(5), 0)
