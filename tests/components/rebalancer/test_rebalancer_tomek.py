"""Tomek links against their definition and against imbalanced-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling import TomekLinks
from sklearn.datasets import load_breast_cancer, load_wine

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.tomek_links import TomekLinks as Ours

CLASSES = ("a", "b", "c")


def split_of(x, codes, ids=None):
    x = np.asarray(x, np.float32)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    rows = Rows(np.arange(len(x)) if ids is None else ids, np.asarray(codes, np.int64), columns)
    return Split(rows.ordered(), CLASSES, Features(dict.fromkeys(columns, "float")), seed=1)


def params_of(strategy="auto"):
    return RebalanceParams(method="tomek_links", sampling_strategy=strategy)


def by_definition(split, cleaned):
    """Every pair looked at; equally far rows in row order, a row is not its own neighbour."""
    x, codes = split.numeric.astype(np.float64), split.rows.codes
    distance = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    near = distance.argmin(axis=1)
    return np.array(
        [
            codes[i] in cleaned and codes[near[i]] != codes[i] and near[near[i]] == i
            for i in range(len(x))
        ]
    )


@st.composite
def lattices(draw):
    """Points on a small lattice, so that many are equal or equally far."""
    n = draw(st.integers(2, 30))
    x = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=n, max_size=n))
    codes = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    codes[:2] = [0, 1]
    return split_of(np.array(x), np.array(codes))


@settings(deadline=None, max_examples=30)
@given(split=lattices(), codes=st.sets(st.integers(0, 2), min_size=1))
def test_removed_rows_are_the_ends_of_links(split, codes):
    found = Ours().flagged(split, np.array(sorted(codes)), params_of())
    np.testing.assert_array_equal(found, by_definition(split, codes))


@pytest.mark.parametrize("strategy", ["auto", "not majority", "not minority", "all", ("a", "c")])
@pytest.mark.parametrize("seed", [0, 1])
def test_removed_rows_are_those_of_imbalanced_learn(strategy, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, 400, p=[0.1, 0.6, 0.3])
    split = split_of(rng.normal(size=(400, 4)) + codes[:, None] * 0.3, codes)
    theirs = TomekLinks(
        sampling_strategy=[CLASSES.index(name) for name in strategy]
        if isinstance(strategy, tuple)
        else strategy
    )
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    removed = Ours().removed(split, params_of(strategy))
    assert removed.sum() > 5
    np.testing.assert_array_equal(np.flatnonzero(~removed), theirs.sample_indices_)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_removed_rows_are_those_of_imbalanced_learn_on_known_data(load):
    x, codes = load(return_X_y=True)
    split = split_of((x - x.mean(axis=0)) / x.std(axis=0), codes)
    theirs = TomekLinks(sampling_strategy="all")
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    removed = Ours().removed(split, params_of("all"))
    np.testing.assert_array_equal(np.flatnonzero(~removed), theirs.sample_indices_)


def test_equal_rows_of_two_classes_are_a_link():
    # imbalanced-learn drops the first neighbour it finds, which may be the other one.
    split = split_of([[0, 0], [0, 0], [5, 5], [5, 6], [6, 5]], [0, 1, 0, 0, 1])
    np.testing.assert_array_equal(Ours().removed(split, params_of("all"))[:2], [True, True])


def test_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(3)
    x, codes = rng.integers(0, 5, (200, 2)), rng.choice(2, 200, p=[0.3, 0.7])
    order = rng.permutation(200)
    first, second = split_of(x, codes), split_of(x[order], codes[order], ids=order)
    gone = [Ours().removed(split, params_of()) for split in (first, second)]
    assert gone[0].any()
    np.testing.assert_array_equal(*gone)


def test_class_that_would_be_lost_is_named():
    split = split_of([[0, 0], [9, 9], [0, 1], [20, 20]], [0, 0, 1, 0])
    assert Ours().removed(split, params_of()).tolist() == [True, False, False, False]
    with pytest.raises(
        UserError, match=r"^rebalance.method: 'tomek_links' would remove all 1 rows of class b, "
    ) as error:
        Ours().removed(split, params_of("all"))
    assert "rebalance.sampling_strategy" in str(error.value)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (Features({"a": "float"}, ("job",)), ["job", "vectors", "under"]),
        (Features({}), ["numeric feature", "under"]),
        (Features({"a": "float"}, (), {"notes": "is text"}), ["'notes' is text"]),
    ],
)
def test_features_without_distances_are_named(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'tomek_links'") as error:
        Ours().check({"a": 9, "b": 5}, features, params_of())
    for text in told:
        assert text in str(error.value)


@pytest.mark.parametrize("strategy", [0.5, {"a": 3}, "minority", ("z",)])
def test_strategy_that_cleaning_does_not_take_is_refused_before_rows_are_read(strategy):
    with pytest.raises(UserError, match=r"^rebalance\.sampling_strategy: "):
        Ours().check({"a": 9, "b": 5}, Features({"x": "float"}), params_of(strategy))
