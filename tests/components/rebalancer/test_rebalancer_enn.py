"""Edited nearest neighbours against their definition and against imbalanced-learn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.under_sampling import EditedNearestNeighbours as Theirs
from sklearn.datasets import load_breast_cancer, load_wine

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.edited_nearest_neighbours import (
    EditedNearestNeighbours as Ours,
)

CLASSES = ("a", "b", "c")


def split_of(x, codes):
    x = np.asarray(x, np.float32)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    rows = Rows(np.arange(len(x)), np.asarray(codes, np.int64), columns)
    return Split(rows.ordered(), CLASSES, Features(dict.fromkeys(columns, "float")), seed=1)


def params_of(strategy="auto", kind_sel="all", k=3):
    return RebalanceParams(
        method="edited_nearest_neighbours",
        sampling_strategy=strategy,
        n_neighbors=k,
        kind_sel=kind_sel,
    )


def by_definition(split, cleaned, kind_sel, k):
    """Every pair looked at; equally far rows in row order, a row is not its own neighbour."""
    x, codes = split.numeric.astype(np.float64), split.rows.codes
    distance = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    gone = []
    for i in range(len(x)):
        votes = Counter(codes[np.argsort(distance[i], kind="stable")[:k]].tolist())
        top = min(votes, key=lambda code: (-votes[code], code))
        stays = votes[codes[i]] == k if kind_sel == "all" else top == codes[i]
        gone.append(codes[i] in cleaned and not stays)
    return np.array(gone)


@st.composite
def lattices(draw):
    """Points on a small lattice, so that many are equal or equally far."""
    n = draw(st.integers(6, 30))
    x = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=n, max_size=n))
    codes = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return split_of(np.array(x), np.array(codes))


@settings(deadline=None, max_examples=30)
@given(
    split=lattices(),
    codes=st.sets(st.integers(0, 2), min_size=1),
    kind_sel=st.sampled_from(["all", "mode"]),
    k=st.integers(1, 5),
)
def test_removed_rows_are_those_that_their_neighbours_disagree_with(split, codes, kind_sel, k):
    found = Ours().flagged(split, np.array(sorted(codes)), params_of("auto", kind_sel, k))
    np.testing.assert_array_equal(found, by_definition(split, codes, kind_sel, k))


@pytest.mark.parametrize("strategy", ["auto", "not majority", "all", ("a", "c")])
@pytest.mark.parametrize("kind_sel", ["all", "mode"])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_removed_rows_are_those_of_imbalanced_learn(strategy, kind_sel, k):
    rng = np.random.default_rng(k)
    codes = rng.choice(3, 500, p=[0.1, 0.6, 0.3])
    split = split_of(rng.normal(size=(500, 3)) + codes[:, None], codes)
    theirs = Theirs(
        sampling_strategy=[CLASSES.index(name) for name in strategy]
        if isinstance(strategy, tuple)
        else strategy,
        n_neighbors=k,
        kind_sel=kind_sel,
    )
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    removed = Ours().removed(split, params_of(strategy, kind_sel, k))
    assert removed.sum() > 5
    assert set(np.flatnonzero(~removed)) == set(theirs.sample_indices_)


@pytest.mark.parametrize("kind_sel", ["all", "mode"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_removed_rows_are_those_of_imbalanced_learn_on_known_data(load, kind_sel):
    x, codes = load(return_X_y=True)
    split = split_of((x - x.mean(axis=0)) / x.std(axis=0), codes)
    theirs = Theirs(sampling_strategy="all", kind_sel=kind_sel)
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    removed = Ours().removed(split, params_of("all", kind_sel))
    assert set(np.flatnonzero(~removed)) == set(theirs.sample_indices_)


def test_of_equally_frequent_classes_the_first_in_class_order_counts():
    # Row 0 of class b and row 6 of class a have one neighbour of a and one of b each.
    x = [[0], [1], [-1], [50], [51], [52], [100], [101], [99]]
    split = split_of(x, [1, 0, 1, 1, 1, 1, 0, 0, 1])
    flagged = Ours().flagged(split, np.array([0, 1]), params_of("all", "mode", 2))
    assert flagged[[0, 6]].tolist() == [True, False]


def test_class_that_would_be_lost_is_named():
    split = split_of(np.arange(10)[:, None], [0, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    with pytest.raises(
        UserError,
        match=r"^rebalance.method: 'edited_nearest_neighbours' would remove all 2 rows of class b",
    ):
        Ours().removed(split, params_of("all"))
    assert not Ours().removed(split, params_of("auto"))[[1, 4]].any()


def test_more_neighbours_than_rows_are_refused():
    features = Features({"x": "float"})
    Ours().check({"a": 3, "b": 2}, features, params_of(k=4))
    with pytest.raises(UserError, match=r"^rebalance.n_neighbors: 5 .* found 5; "):
        Ours().check({"a": 3, "b": 2}, features, params_of(k=5))
