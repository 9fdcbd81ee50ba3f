"""The smoothed bootstrap against imbalanced-learn's and the normal distribution."""

from itertools import pairwise

import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from scipy import stats

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.rose import Rose, bandwidths, moved, normal
from tfx_imbalance.components.rebalancer.synthesis import synthesise

FEATURES = Features(
    {"f": "float", "i": "int", "v": "float"}, ("c",), weight=("w", "float"), widths={"v": 2}
)
PARAMS = RebalanceParams(method="rose", seed=3)
SAMPLER = Rose()
N_OTHER, N_CLASS = 300, 40


def make_split(seed=0):
    rng = np.random.default_rng(seed)
    n = N_OTHER + N_CLASS
    columns = {
        "f": rng.normal(3, 2, n).astype(np.float32),
        "i": rng.integers(-(10**6), 10**6, n),
        "v": (rng.normal(size=(n, 2)) * [1, 50]).astype(np.float32),
        "c": rng.integers(0, 9, n),
    }
    rows = Rows(rng.integers(-(2**62), 2**62, n), np.repeat([0, 1], [N_OTHER, N_CLASS]), columns)
    rows = rows.ordered()
    # The weight tells which row a synthetic one has as its base.
    columns = rows.columns | {"w": np.arange(n, dtype=np.float32)}
    return Split(rows._replace(columns=columns), ("no", "yes"), FEATURES, PARAMS.seed)


def only(split, rows):
    return Split(split.rows.take(rows), split.classes, split.features, split.seed)


def synthesised(split, n, params=PARAMS):
    (source,) = SAMPLER.sources(split, {1: n}, params)
    return synthesise(SAMPLER, split, source, 0, n)[0]


def wide(columns):
    return np.column_stack([columns[name].astype(np.float64) for name in ("f", "i", "v")])


def test_bandwidths_are_theirs_for_the_same_number_of_rows():
    split = make_split()
    x, y, n = split.numeric.astype(np.float64), split.rows.codes, 60
    theirs = RandomOverSampler(
        sampling_strategy={1: N_CLASS + n}, shrinkage=0.7, random_state=5
    ).fit_resample(x, y)[0][len(x) :]
    state = np.random.RandomState(5)
    base = state.choice(np.flatnonzero(y == 1), size=n, replace=True)
    noise = state.randn(n, 4)
    mine = bandwidths(split.numeric[y == 1], len(x), 0.7)
    np.testing.assert_allclose(theirs, x[base] + noise * mine, rtol=1e-6)


def test_bandwidths_are_of_the_class_and_told_by_its_rows_alone():
    split = make_split()
    rows = split.of_class(1)
    expected = split.numeric[rows].std(axis=0, dtype=np.float64) * (4 / 6 / N_CLASS) ** (1 / 8)
    for given in (split, only(split, rows)):
        (source,) = SAMPLER.sources(given, {1: 5}, PARAMS)
        np.testing.assert_allclose(source.bandwidths, expected)


def test_noise_is_standard_normal_times_bandwidth_and_independent_between_columns():
    split = make_split()
    n = 4000
    made = synthesised(split, n)
    base = made.columns["w"].astype(int)
    assert (split.rows.codes[base] == 1).all()
    noise = (wide(made.columns) - split.numeric[base]) / bandwidths(
        split.numeric[split.of_class(1)], N_CLASS, 1.0
    )
    for column in noise.T:
        assert stats.kstest(column, "norm").pvalue > 0.01
    correlation = np.corrcoef(noise.T) - np.eye(4)
    assert np.abs(correlation).max() < 4 / np.sqrt(n)


def test_types_are_kept_categories_copied_and_rows_used_evenly():
    split = make_split()
    made = synthesised(split, 100)
    base = made.columns["w"].astype(int)
    for name, column in split.rows.columns.items():
        assert made.columns[name].dtype == column.dtype
        assert made.columns[name].shape == (100, *column.shape[1:])
    np.testing.assert_array_equal(made.columns["c"], split.rows.columns["c"][base])
    assert sorted(np.unique(base, return_counts=True)[1]) == [2] * 20 + [3] * 20
    assert len(np.unique(made.ids)) == 100


def test_no_shrinkage_copies():
    split = make_split()
    made = synthesised(split, 90, PARAMS.model_copy(update={"shrinkage": 0.0}))
    base = made.columns["w"].astype(int)
    np.testing.assert_array_equal(wide(made.columns), wide(split.rows.columns)[base])


def test_rows_are_the_same_in_pieces():
    split = make_split()
    (source,) = SAMPLER.sources(split, {1: 70}, PARAMS)
    whole = synthesise(SAMPLER, split, source, 0, 70)[0]
    cuts = [0, 1, 33, 70]
    parts = [synthesise(SAMPLER, split, source, *cut)[0] for cut in pairwise(cuts)]
    for name, column in Rows.concatenated(parts).columns.items():
        np.testing.assert_array_equal(column, whole.columns[name])


def test_normal_is_finite_at_both_ends():
    ends = normal(np.array([0, 2**64 - 1, 2**63], np.uint64))
    np.testing.assert_allclose(ends, [-8.3, 8.2, 0], atol=0.1)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (Features({}, ("job",)), ["job", "use over or smote_n"]),
        (Features({"a": "float"}, unsupported={"t": "is text"}), ["'t' is text"]),
    ],
)
def test_needs_numbers(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'rose'") as error:
        SAMPLER.check({"no": 9, "yes": 1}, features, PARAMS)
    for text in told:
        assert text in str(error.value)


def test_takes_a_class_of_one_row():
    SAMPLER.check({"no": 9, "yes": 1}, FEATURES, PARAMS)
    split = make_split()
    one = only(split, np.r_[split.of_class(0), split.of_class(1)[:1]])
    assert set(synthesised(one, 7).columns["f"]) == set(one.rows.columns["f"][one.of_class(1)])


@pytest.mark.parametrize(
    ("value", "noise", "expected"),
    [
        (2**63 - 5, 4.4, 2**63 - 1),
        (2**63 - 5, 5.0, 2**63 - 1),
        (2**63 - 5, -5.0, 2**63 - 10),
        (5 - 2**63, -1e300, -(2**63)),
        (2**62 + 1, 2.0, 2**62 + 3),
        (np.float32(3.4e38), 1e38, np.finfo(np.float32).max),
        (np.float32(-3.4e38), -1e38, np.finfo(np.float32).min),
        (np.float32(1.5), 0.25, np.float32(1.75)),
    ],
)
def test_noise_past_the_range_of_a_type_stops_there(value, noise, expected):
    got = moved(np.array([[value]]), np.array([[noise]]))
    assert got.dtype == np.array(value).dtype
    assert got.tolist() == [[expected]]
