"""Exact search among few points against a full table of distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.rebalancer.brute import closest


def table(queries, points, k, skipped=None):
    squared = ((queries[:, None] - points) ** 2).sum(axis=2)
    if skipped is not None:
        squared[np.flatnonzero(skipped >= 0), skipped[skipped >= 0]] = np.inf
    order = squared.argsort(axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squared, order, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 300),
    st.integers(1, 12),
    st.sampled_from([0.25, 1e-6, 1e-12]),
    st.sampled_from([0.0, 50.0]),
)
def test_nearest_of_all_points_by_distance_then_number(seed, m, k, step, offset):
    rng = np.random.default_rng(seed)
    # Multiples of a power of two, so that the oracle's distances are exact and many are equal.
    step = 2.0 ** round(np.log2(step))
    points = step * rng.integers(0, 6, (m, 3)) + offset * rng.integers(0, 2, (m, 1))
    queries = step * rng.integers(0, 6, (40, 3))
    k = min(k, m)
    found, squared = closest(queries, points, k)
    expected, far = table(queries, points, k)
    np.testing.assert_array_equal(squared, far)
    np.testing.assert_array_equal(found, expected)


def test_the_batch_does_not_matter():
    rng = np.random.default_rng(0)
    queries, points = rng.normal(size=(900, 16)), rng.normal(size=(3000, 16))
    whole = closest(queries, points, 7)[0]
    parts = [closest(part, points, 7)[0] for part in np.array_split(queries, 11)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_skipped_points_are_no_answers():
    points = np.random.default_rng(1).normal(size=(400, 5))
    skipped = np.where(np.arange(400) % 2, np.arange(400), -1)
    found, squared = closest(points, points, 4, skipped=skipped)
    expected, far = table(points, points, 4, skipped)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(squared, far, atol=1e-12)


@pytest.mark.parametrize("m", [0, 1, 3])
def test_too_few_points_leave_gaps(m):
    points = np.arange(float(m))[:, None]
    found, squared = closest(np.zeros((2, 1)), points, 4)
    np.testing.assert_array_equal(found, [[*range(m)] + [-1] * (4 - m)] * 2)
    assert np.isinf(squared[:, m:]).all()


def test_exact_distances_decide():
    points = np.zeros((5, 2))
    far = np.array([3.0, 1.0, 2.0, 0.0, 4.0])
    found, squared = closest(np.zeros((1, 2)), points, 3, lambda i, j: far[j])
    np.testing.assert_array_equal(found, [[3, 1, 2]])
    np.testing.assert_array_equal(squared, [[0, 1, 2]])
