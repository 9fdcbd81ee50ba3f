"""Figures of numeric columns against NumPy and SciPy, however the rows come in batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from tfx_imbalance.pipeline import number_figures
from tfx_imbalance.pipeline.number_figures import STEPS, _curve, _Summarise, merge, summary

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False).map(float)
COLUMN = st.one_of(
    st.tuples(st.just(np.int64), st.lists(st.one_of(INT64, st.integers(-3, 3)), max_size=30)),
    st.tuples(st.just(np.float64), st.lists(st.one_of(FLOAT32, st.sampled_from([0.0, -0.0, 1.0])))),
)


def of_batches(values, present, cuts, order):
    """The summary of rows that come in batches, in an order."""
    batches = np.split(np.arange(len(values)), sorted(cuts))
    found = [summary(values[batches[i]], present[batches[i]], True) for i in order]
    done = found[0]
    for other in found[1:]:
        done = merge(done, other)
    return done


@settings(deadline=None, max_examples=200)
@given(COLUMN, st.randoms(use_true_random=False))
def test_figures_are_those_of_numpy_in_any_order_of_batches(column, random):
    dtype, listed = column
    values = np.array(listed, dtype).reshape(-1, 1)
    present = np.array([random.random() < 0.8 for _ in listed], bool).reshape(-1, 1)
    cuts = [random.randint(0, len(listed)) for _ in range(3)]
    seen = values[present]
    for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 7):
        done = of_batches(values, present, cuts, order)
        assert done.rows == len(values) and done.counts[0] == len(seen)
        if not len(seen):
            assert done.least[0] == done.most[0] == done.mean[0] == done.squares[0] == 0
            continue
        assert done.least[0] == seen.min() and done.most[0] == seen.max()
        above = np.array([int(v) - int(seen.min()) for v in seen], np.float64)
        if dtype is np.float64:
            above = seen - seen.min()
        width = max(above.max(), 1e-300)
        assert done.mean[0] / width == pytest.approx(above.mean() / width, abs=1e-12)
        spread = ((above / width - above.mean() / width) ** 2).sum()
        assert done.squares[0] / width / width == pytest.approx(spread, abs=1e-9)
        tally = done.tallies[0]
        assert tally.counts.tolist() == np.unique(seen, return_counts=True)[1].tolist()


@settings(deadline=None, max_examples=100)
@given(COLUMN)
def test_knots_hold_mid_ranks(column):
    dtype, listed = column
    if not listed:
        return
    values = np.array(listed, dtype)
    done = summary(values.reshape(-1, 1), np.ones((len(values), 1), bool), True)
    curve, median = _curve(done, 0)
    n = len(values)
    expected = (rankdata(values) - 1) / (n - 1) if n > 1 else np.array([0.5])
    by_value = np.unique(values, return_index=True)[1]
    np.testing.assert_allclose(curve[1, : len(by_value)], expected[by_value])
    assert np.isinf(curve[0, len(by_value) :]).all()
    in_order = np.sort(expected)
    assert median == pytest.approx((in_order[(n - 1) // 2] + in_order[n // 2]) / 2)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_more_values_than_are_told_apart_give_the_same_ranks_in_any_order(monkeypatch, dtype):
    monkeypatch.setattr(number_figures, "MOST_VALUES", 500)
    rng = np.random.default_rng(0)
    values = np.concatenate([np.zeros(4_000), rng.lognormal(12, 2, 16_000)])
    values = values.astype(np.float32).astype(dtype).reshape(-1, 1)
    present = np.ones_like(values, bool)
    curves = []
    for order in (range(20), reversed(range(20)), rng.permutation(20)):
        done = of_batches(values, present, range(1_000, 20_000, 1_000), list(order))
        curves.append(_curve(done, 0))
    for curve, median in curves[1:]:
        np.testing.assert_array_equal(curve, curves[0][0])
        assert median == curves[0][1]
    above = (values[:, 0] - values.min()).astype(np.float64)
    expected = (rankdata(above) - 1) / (len(above) - 1)
    knots, ranks = curves[0][0]
    found = np.interp(above, knots[np.isfinite(knots)], ranks[np.isfinite(knots)])
    assert np.abs(found - expected).max() < 2 / STEPS


def test_a_combine_function_takes_batches_of_several_matrices():
    rng = np.random.default_rng(1)
    whole, decimal = rng.integers(-9, 9, (50, 2)), rng.normal(size=(50, 1))
    present = rng.random((50, 3)) < 0.7
    combine = _Summarise(by_rank=False)
    halves = [
        combine.add_input(combine.create_accumulator(), [whole[s], decimal[s], present[s]])
        for s in (slice(0, 20), slice(20, 50))
    ]
    merged = combine.merge_accumulators([combine.create_accumulator(), *halves])
    integers, decimals = combine.extract_output(merged)
    for j, part in enumerate((whole[:, 0], whole[:, 1])):
        assert integers.least[j] == part[present[:, j]].min()
    assert decimals.counts.tolist() == [present[:, 2].sum()]
    seen = decimal[present[:, 2], 0]
    assert decimals.mean[0] + decimals.least[0] == pytest.approx(seen.mean())
