"""Distances, outliers and synthetic values of numbers that float32 cannot tell apart."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks

from tfx_imbalance.components.rebalancer import outliers
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.moments import Moments
from tfx_imbalance.components.rebalancer.outliers_params import OutlierOptions
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.samplers.interpolation import between

SECONDS = 1_700_000_000 + np.arange(120)
INTS = st.integers(-(2**63), 2**63 - 1)
TIMES = Features({"t": "int"})


def classes(n=120):
    """Two thirds `no`, scattered."""
    return np.where(np.random.default_rng(0).permutation(n) % 3, "no", "yes").astype(object)


def test_epoch_seconds_are_as_many_as_there_are():
    assert len(set(SECONDS.astype(np.float32).tolist())) == 2


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize(
    ("method", "theirs"),
    [("tomek_links", TomekLinks()), ("edited_nearest_neighbours", EditedNearestNeighbours())],
)
def test_cleaning_removes_what_it_does_of_the_same_numbers_from_0(method, theirs, dtype):
    y = classes()
    # No two neighbours equally far.
    t = 1_700_000_000 + (1 + np.random.default_rng(1).permutation(120)).cumsum()
    theirs.fit_resample(t[:, None] - t[0], y)
    done = resample(pd.DataFrame({"t": t.astype(dtype)}), y, RebalanceParams(method=method))
    np.testing.assert_array_equal(done.index, np.sort(theirs.sample_indices_))
    assert len(done.index) < 120


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("exact_rows", [60_000, 10], ids=["exact", "cells"])
def test_synthetic_epoch_seconds_lie_between_a_row_and_a_near_one(dtype, exact_rows):
    n = 3000
    t = 1_700_000_000 + np.arange(n)
    y = np.where(np.arange(n) % 3, "no", "yes").astype(object)
    params = RebalanceParams(method="smote", k_neighbors=2, seed=1)
    params = params.model_copy(update={"exact_rows": exact_rows})
    done = resample(pd.DataFrame({"t": t.astype(dtype)}), y, params)
    base, neighbor = (t[done.origin[name]] for name in ("base", "neighbor"))
    apart = np.abs(base - neighbor)
    assert (apart > 0).all()
    near = apart <= 6  # rows of the class lie 3 s apart; those at the ends look inward
    assert near.mean() > (0.99 if exact_rows > n else 0.9)
    made = done.x["t"].to_numpy()[done.index < 0]
    assert (np.abs(made - base) <= apart).all()
    assert (np.abs(made - neighbor) <= apart).all()
    assert len(set(made.tolist())) > 900


@pytest.mark.parametrize("method", ["smote", "borderline_smote_1", "edited_nearest_neighbours"])
def test_examples_and_tables_of_epoch_seconds_give_the_same_rows(method, run, kit):
    y = classes()
    given = {} if method == "edited_nearest_neighbours" else {"k_neighbors": 2}
    params = RebalanceParams(method=method, seed=2, **given)
    rows = run(kit.Data({"t": SECONDS, "y": y}), params, TIMES, classes=("no", "yes")).rows
    done = resample(pd.DataFrame({"t": SECONDS}), y, params)
    got = Counter(zip(done.x["t"].tolist(), done.y, strict=True))
    expected = Counter()
    for row, times in rows.items():
        expected[dict(row)["t"], dict(row)["y"].decode()] += times
    assert got == expected


@pytest.mark.parametrize("name", ["robust", "isolation_forest"])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_an_outlier_among_epoch_seconds_is_found(name, dtype):
    t = SECONDS.copy()
    t[5] += 2000
    frame = pd.DataFrame({"t": t.astype(dtype)})
    params = RebalanceParams(method="none", outliers={"method": name, "action": "drop"})
    y = np.where(np.arange(120) < 90, "no", "yes").astype(object)
    done = resample(frame, y, params)
    gone = set(range(120)) - set(done.index.tolist())
    assert 5 in gone
    assert len(gone) <= (1 if name == "robust" else 5)


def test_bounds_of_epoch_seconds_are_exact_to_the_second():
    t = SECONDS.astype(np.float64)[:, None]
    model = outliers.fit({0: t}, ["t"], OutlierOptions(method="robust", threshold=3.5), 0)
    usual = outliers.fit({0: t - t[0]}, ["t"], OutlierOptions(method="robust", threshold=3.5), 0)
    for one, other in zip(model.usual.values(), usual.usual.values(), strict=True):
        np.testing.assert_allclose(one.low - t[0], other.low, atol=1e-6)
        np.testing.assert_allclose(one.high - t[0], other.high, atol=1e-6)


@given(start=INTS, end=INTS, gap=st.floats(0, 1, exclude_max=True))
def test_whole_numbers_are_interpolated_exactly(start, end, gap):
    made = int(between(np.array([start]), np.array([end]), np.array([gap]))[0])
    assert min(start, end) <= made <= max(start, end)
    exact = start + Fraction(gap) * (end - start)
    # Half a step, and what float64 rounds of a distance past 2**53.
    assert abs(made - exact) <= Fraction(1, 2) + Fraction(abs(end - start), 2**52)


NUMBERS = st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-27)


@given(st.lists(st.tuples(INTS, NUMBERS), min_size=1, max_size=20))
def test_moments_of_float64_are_exact(rows):
    matrix = np.array(rows, np.float64)
    both = Moments.of(matrix[:3]).plus(Moments.of(matrix[3:]))
    assert both == Moments.of(matrix)
    exact = [[Fraction(value) for value in column] for column in matrix.T.tolist()]
    for column, total, squares in zip(exact, both.sums, both.squares, strict=True):
        assert Fraction(total, 1 << 400) == sum(column)
        assert Fraction(squares, 1 << 400) == sum(value * value for value in column)


def test_moments_of_numbers_below_float32_come_to_an_end():
    tiny = Moments.of(np.array([[5e-324, 1e-60, 1.0]]).T)
    assert tiny == Moments.of(np.array([[0.0, 0.0, 1.0]]).T)
