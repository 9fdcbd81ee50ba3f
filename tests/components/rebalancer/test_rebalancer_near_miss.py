"""NearMiss against imbalanced-learn."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling import NearMiss as Theirs
from sklearn.datasets import load_breast_cancer

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import near_miss
from tfx_imbalance.components.rebalancer.samplers.near_miss import (
    NearMiss1,
    NearMiss2,
    NearMiss3,
)

CLASSES = ("a", "b", "c")
OURS = {1: NearMiss1(), 2: NearMiss2(), 3: NearMiss3()}


def split_of(x, codes):
    x = np.asarray(x, np.float32)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    rows = Rows(np.arange(len(x)), np.asarray(codes, np.int64), columns)
    return Split(rows.ordered(), CLASSES, Features(dict.fromkeys(columns, "float")), seed=1)


def random_split(seed=0, p=(0.15, 0.6, 0.25), n=300):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=p)
    return split_of(rng.normal(size=(n, 3)) + codes[:, None], codes)


def params_of(version, strategy="auto", k=3):
    return RebalanceParams(method=f"near_miss_{version}", sampling_strategy=strategy, n_neighbors=k)


def kept_by_imblearn(split, version, strategy="auto", k=3):
    if isinstance(strategy, dict):
        strategy = {CLASSES.index(name): rows for name, rows in strategy.items()}
    theirs = Theirs(sampling_strategy=strategy, version=version, n_neighbors=k, n_neighbors_ver3=k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    return set(theirs.sample_indices_.tolist())


def kept(split, version, strategy="auto", k=3):
    removed = OURS[version].removed(split, params_of(version, strategy, k))
    return set(np.flatnonzero(~removed).tolist())


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("strategy", ["auto", "not minority", {"b": 20}, {"b": 15, "c": 18}])
def test_kept_rows_are_those_of_imbalanced_learn(version, k, strategy):
    split = random_split(k)
    theirs = kept_by_imblearn(split, version, strategy, k)
    ours = kept(split, version, strategy, k)
    if version == 3:
        # Its list may be too short, and then it keeps fewer than wanted.
        assert theirs <= ours
    else:
        assert theirs == ours


@pytest.mark.parametrize("version", [1, 2, 3])
def test_kept_rows_are_those_of_imbalanced_learn_where_the_reference_loses_rows(version):
    split = random_split(4)
    strategy = {"a": 11, "b": 25}
    assert kept(split, version, strategy) == kept_by_imblearn(split, version, strategy)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_kept_rows_are_those_of_imbalanced_learn_on_known_data(version):
    x, codes = load_breast_cancer(return_X_y=True)
    rare = np.flatnonzero((codes == 1) | (np.arange(len(codes)) % 4 == 0))
    split = split_of(((x - x.mean(axis=0)) / x.std(axis=0))[rare], codes[rare])
    assert (split.rows.codes == 0).sum() < (split.rows.codes == 1).sum() / 3
    assert kept(split, version, {"b": 30}) == kept_by_imblearn(split, version, {"b": 30})


@settings(deadline=None, max_examples=40)
@given(
    version=st.sampled_from([1, 2, 3]),
    k=st.integers(1, 4),
    sizes=st.tuples(*[st.integers(5, 30)] * 3),
    strategy=st.sampled_from(["auto", "all", "not majority", {"b": 3}, {"a": 2, "c": 4}]),
    seed=st.integers(0, 5),
)
def test_counts_are_exactly_the_targets(version, k, sizes, strategy, seed):
    codes = np.repeat([0, 1, 2], sizes)
    # On a lattice, so that many rows are equal or equally far.
    split = split_of(np.random.default_rng(seed).integers(0, 4, (len(codes), 2)), codes)
    params = params_of(version, strategy, k)
    removed = OURS[version].removed(split, params)
    counts = dict(zip(CLASSES, sizes, strict=True))
    left = np.bincount(split.rows.codes[~removed], minlength=3).tolist()
    assert dict(zip(CLASSES, left, strict=True)) == OURS[version].targets(counts, params)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_equal_distances_are_taken_in_row_order(version):
    split = split_of([[0], [0], [0], [0], [1], [1], [1], [1], [1], [1]], [0] * 4 + [1] * 6)
    assert kept(split, version, k=3) == {0, 1, 2, 3, 4, 5, 6, 7}


def test_list_of_version_3_that_is_too_short_stays_and_is_filled_up_by_nearness():
    # Of class b, 10 alone is nearest to every row of a.
    x = [[0], [1], [2], [3], [30], [10], [20], [40], [50], [60]]
    split = split_of(x, [0] * 4 + [1] * 6)
    assert kept_by_imblearn(split, 3, k=1) == {0, 1, 2, 3, 5}
    assert kept(split, 3, k=1) == {0, 1, 2, 3, 5, 6, 4, 7}


@pytest.mark.parametrize("chunk", [1, 7 * 45, 1 << 21])
def test_chunks_do_not_change_what_version_2_keeps(chunk, monkeypatch):
    split = random_split(2)
    expected = kept(split, 2)
    monkeypatch.setattr(near_miss, "_CELLS", chunk)
    assert kept(split, 2) == expected


def test_of_equally_small_classes_the_first_in_name_order_is_the_reference():
    x = [[0], [1], [2], [100], [101], [102], *[[i] for i in range(3, 12)]]
    split = split_of(x, [0] * 3 + [2] * 3 + [1] * 9)
    assert kept(split, 1, k=2) == {0, 1, 2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_minority_with_too_few_rows_is_named(version):
    features = Features({"x": "float"})
    OURS[version].check({"a": 9, "b": 3, "c": 0}, features, params_of(version))
    with pytest.raises(UserError, match=r"^rebalance.n_neighbors: 3 .* class b has 2 in train"):
        OURS[version].check({"a": 9, "b": 2, "c": 0}, features, params_of(version))
    with pytest.raises(UserError, match=f"^rebalance.method: 'near_miss_{version}' .*job"):
        OURS[version].check({"a": 9, "b": 4}, Features({}, ("job",)), params_of(version))
