"""Folds: stratified, whole units, whatever the order of the rows."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.tuner.folds import row_units, stratified

NAMES = ("a", "b", "c")


def counts_of(fold, labels, folds, n_classes):
    return np.array([np.bincount(labels[fold == k], minlength=n_classes) for k in range(folds)])


@given(
    sizes=st.lists(st.integers(7, 60), min_size=2, max_size=3),
    folds=st.integers(2, 7),
    seed=st.integers(0, 99),
)
def test_single_rows_are_spread_to_one_row(sizes, folds, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    ids = np.random.default_rng(seed).permutation(len(labels) * 5)[: len(labels)]
    fold = stratified(ids, labels, NAMES[: len(sizes)], folds, seed)
    counts = counts_of(fold, labels, folds, len(sizes))
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1


@given(
    owners=st.lists(st.integers(0, 40), min_size=80, max_size=150),
    folds=st.integers(2, 3),
    seed=st.integers(0, 99),
)
def test_units_stay_whole_and_order_does_not_matter(owners, folds, seed):
    units = np.array(owners, np.int64)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, len(units))
    try:
        fold = stratified(units, labels, NAMES[:2], folds, seed)
    except UserError:
        return
    assert all(len(set(fold[units == u])) == 1 for u in np.unique(units))
    order = rng.permutation(len(units))
    np.testing.assert_array_equal(
        stratified(units[order], labels[order], NAMES[:2], folds, seed), fold[order]
    )


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_spread_as_evenly_as_scikit_learn_does(seed):
    rng = np.random.default_rng(seed)
    groups = rng.zipf(1.6, 4000).clip(max=400) + 1000 * rng.integers(0, 3, 4000)
    labels = (rng.random(4000) < 0.02 + 0.2 * (groups % 7 == 0)).astype(np.int64)

    def spread(fold):
        shares = counts_of(fold, labels, 5, 2) / np.bincount(labels)
        return shares.std(axis=0).max()

    theirs = np.zeros(4000, np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for k, (_, held) in enumerate(splitter.split(labels, labels, groups)):
        theirs[held] = k
    mine = stratified(groups.astype(np.int64), labels, NAMES[:2], 5, seed)
    assert spread(mine) <= spread(theirs) + 0.005


def test_another_seed_or_purpose_gives_other_folds():
    ids, labels = np.arange(200), np.tile([0, 1], 100)
    fold = stratified(ids, labels, NAMES[:2], 5, 0)
    assert (fold != stratified(ids, labels, NAMES[:2], 5, 1)).any()
    assert (fold != stratified(ids, labels, NAMES[:2], 5, 0, "other")).any()


def test_a_million_rows_take_seconds():
    rng = np.random.default_rng(0)
    ids = rng.integers(2**62, size=1_000_000)
    labels = (rng.random(len(ids)) < 0.01).astype(np.int64)
    start = time.monotonic()
    stratified(ids, labels, NAMES[:2], 5, 0)
    assert time.monotonic() - start < 20


def test_a_class_with_fewer_rows_than_folds_is_told():
    labels = np.array([0] * 20 + [1] * 3)
    with pytest.raises(UserError, match=r"tune.folds: found 5, but class 'b' has 3 .* at most 3"):
        stratified(np.arange(23), labels, NAMES[:2], 5, 0)
    equal = np.arange(23)
    equal[-3:] = 99  # equal rows are one
    with pytest.raises(UserError, match="class 'b' has 1 different"):
        stratified(equal, labels, NAMES[:2], 2, 0)


def test_groups_that_share_a_row_are_one_unit():
    known = np.array([7, 8, 8, 9, 5])
    groups = np.array([1, 1, 2, 2, 3])
    units = row_units(np.array([9, 7, 5, 8]), (known, groups))
    assert units.tolist() == [7, 7, 5, 7]
    assert row_units(known).tolist() == known.tolist()


def test_a_row_without_a_group_is_told():
    with pytest.raises(UserError, match="missing in raw_examples"):
        row_units(np.array([4]), (np.array([7, 8]), np.array([1, 2])))
