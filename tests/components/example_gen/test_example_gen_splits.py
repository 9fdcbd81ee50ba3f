"""The split functions against brute force, formulas and their promises."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import grouped_splits
from tfx_imbalance.components.example_gen import splits

SHARES = (0.7, 0.15, 0.15)
shares = st.sampled_from([SHARES, (0.5, 0.25, 0.25), (0.8, 0.1, 0.1), (0.52, 0.46, 0.02)])
quick = settings(deadline=None, max_examples=60)


def exact_rows(classes, sizes=None, seed=0, share=SHARES):
    """Splits units of one class each; returns (unit of each row, split of each unit)."""
    classes = np.asarray(classes)
    sizes = np.ones(len(classes), int) if sizes is None else np.asarray(sizes)
    units = np.repeat(np.arange(len(classes)), sizes)
    keys = np.arange(len(classes)) * 7919
    priority = splits.unit_priority(keys, np.arange(len(classes)), seed)
    return units, splits.exact(units, priority, classes[units], int(classes.max()) + 1, share)


def table_of(rows_class, rows_split):
    n_classes = int(np.max(rows_class)) + 1
    return np.bincount(rows_class * 3 + rows_split, minlength=3 * n_classes).reshape(-1, 3)


def best_deviation(total, share):
    """Smallest sum of absolute deviations of three whole parts, each at least 1: by trying all."""
    wanted = np.array(share) * total
    return min(
        np.abs(np.array([a, b, total - a - b]) - wanted).sum()
        for a in range(1, total - 1)
        for b in range(1, total - a)
    )


@quick
@given(total=st.integers(0, 10_000), weights=st.lists(st.floats(0.01, 50), min_size=3, max_size=3))
def test_apportion_sums_up_and_rounds_each_quota_up_or_down(total, weights):
    parts = splits.apportion(total, np.array(weights))
    quota = total * np.array(weights) / sum(weights)
    assert parts.sum() == total
    assert (parts >= np.floor(quota - 1e-6)).all()
    assert (parts <= np.ceil(quota + 1e-6)).all()


@quick
@given(
    totals=st.lists(st.integers(3, 40), min_size=2, max_size=4),
    share=shares,
    seed=st.integers(0, 9),
)
def test_exact_is_as_close_to_the_shares_as_whole_rows_can_be(totals, share, seed):
    classes = np.repeat(np.arange(len(totals)), totals)
    _, split = exact_rows(classes, seed=seed, share=share)
    for counts, total in zip(table_of(classes, split), totals, strict=True):
        deviation = np.abs(counts - np.array(share) * total).sum()
        assert counts.min() >= 1
        assert deviation == pytest.approx(best_deviation(total, share))


@quick
@given(sizes=st.lists(st.integers(2, 9), min_size=1, max_size=30), seed=st.integers(0, 9))
def test_single_rows_fill_up_to_the_exact_count_around_repeated_ones(sizes, seed):
    singles = 8 * max(sizes) + 10
    units, split = exact_rows(np.zeros(len(sizes) + singles, int), [*sizes, *[1] * singles], seed)
    counts = np.bincount(split[units], minlength=3)
    assert counts.tolist() == splits.apportion(len(units), np.array(SHARES)).tolist()


@quick
@given(sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40), seed=st.integers(0, 9))
def test_repeated_rows_alone_deviate_by_a_units_size(sizes, seed):
    units, split = exact_rows(np.zeros(len(sizes), int), sizes, seed)
    counts = np.bincount(split[units], minlength=3)
    assert np.abs(counts - np.array(SHARES) * len(units)).max() <= 2 * max(sizes)
    assert counts.min() >= 1


@quick
@given(
    rows=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2)), min_size=30, max_size=150),
    seed=st.integers(0, 3),
)
def test_units_that_mix_classes_still_leave_every_class_in_every_split(rows, seed):
    units, classes = (np.array(column) for column in zip(*rows, strict=True))
    units = np.unique(units, return_inverse=True)[1]
    classes = np.unique(classes, return_inverse=True)[1]
    n_classes, n_units = classes.max() + 1, units.max() + 1
    priority = splits.unit_priority(np.arange(n_units), np.arange(n_units), seed)
    split = splits.exact(units, priority, classes, n_classes, SHARES)
    assert split.shape == (n_units,)
    holders = [len(set(units[classes == c])) for c in range(n_classes)]
    # With six units of each class there is always one to spare.
    if min(holders) >= 6:
        assert (table_of(classes, split[units]) > 0).all()


def test_mixed_units_keep_the_rare_class_near_its_share():
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(2_000), 5)
    classes = (rng.random(len(units)) < 0.05).astype(int)
    priority = splits.unit_priority(np.arange(2_000), np.arange(2_000), 0)
    counts = table_of(classes, splits.exact(units, priority, classes, 2, SHARES)[units])
    share = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share, [SHARES, SHARES], atol=0.01)


@quick
@given(seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_exact_depends_on_keys_and_seed_not_on_the_order_of_rows(seed, order):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 60, 150)
    classes = keys % 3
    permutation = list(range(150))
    order.shuffle(permutation)

    def split_of(keys, classes):
        distinct, unit = splits.units_of(keys)
        priority = splits.unit_priority(distinct, unit, seed)
        units = np.searchsorted(distinct, keys)
        return dict(zip(distinct, splits.exact(units, priority, classes, 3, SHARES), strict=True))

    assert split_of(keys, classes) == split_of(keys[permutation], classes[permutation])


def test_another_seed_gives_another_split():
    _, first = exact_rows(np.zeros(1_000, int), seed=0)
    _, second = exact_rows(np.zeros(1_000, int), seed=1)
    # Independent splits agree with probability .7**2 + 2 * .15**2 = .535.
    assert 0.45 < (first == second).mean() < 0.62


@quick
@given(
    links=st.lists(st.tuples(st.integers(0, 12), st.integers(100, 112)), min_size=1, max_size=25)
)
def test_units_of_unites_groups_that_share_equal_rows(links):
    keys, ids = (np.array(column) for column in zip(*links, strict=True))
    distinct, unit = splits.units_of(keys, ids)
    # By hand: spread the smallest label along shared rows until nothing changes.
    label = {key: key for key in keys}
    for _ in links:
        for (a, x), (b, z) in combinations(links, 2):
            if x == z:
                label[a] = label[b] = min(label[a], label[b])
    assert distinct.tolist() == sorted(set(keys.tolist()))
    for i, a in enumerate(distinct):
        for j, b in enumerate(distinct):
            assert (unit[i] == unit[j]) == (label[a] == label[b])


@quick
@given(
    rows=st.lists(st.tuples(st.integers(0, 15), st.integers(-9, 9)), min_size=3, max_size=60),
    share=shares,
)
def test_temporal_puts_older_units_before_newer_ones_and_cuts_nearest_to_the_shares(rows, share):
    units, times = (np.array(column) for column in zip(*rows, strict=True))
    units = np.unique(units, return_inverse=True)[1]
    age = np.array([times[units == u].min() for u in range(units.max() + 1)])
    split = splits.temporal(units, times, share)
    if len(set(age.tolist())) < 3:
        assert split is None
        return
    assert set(split.tolist()) == {0, 1, 2}
    for a in range(len(age)):
        for b in range(len(age)):
            assert age[a] >= age[b] or split[a] <= split[b]
            assert age[a] != age[b] or split[a] == split[b]
    cuts = [np.isin(units, np.flatnonzero(age <= t)).sum() for t in sorted(set(age.tolist()))[:-2]]
    train = np.isin(units, np.flatnonzero(split == 0)).sum()
    wanted = share[0] * len(units)
    assert abs(train - wanted) == pytest.approx(min(abs(c - wanted) for c in cuts))


def test_stable_shares_are_binomial_and_a_key_keeps_its_split():
    keys = np.random.default_rng(1).integers(-(2**62), 2**62, 40_000)
    split = splits.stable(keys, SHARES, seed=3)
    counts = np.bincount(split, minlength=3)
    deviation = np.sqrt(len(keys) * np.array(SHARES) * (1 - np.array(SHARES)))
    assert (np.abs(counts - np.array(SHARES) * len(keys)) < 5 * deviation).all()
    np.testing.assert_array_equal(splits.stable(keys[::7], SHARES, seed=3), split[::7])
    assert (splits.stable(keys, SHARES, seed=4) != split).any()


def test_groups_come_nearer_to_their_shares_than_scikit_learns_folds():
    """A part of what benchmarks/grouped_splits.py measures."""
    mine, theirs = [], []
    for seed in range(25):
        groups, classes, n_classes = grouped_splits.table(seed)
        split = grouped_splits.ours(groups, classes, n_classes, seed)
        counts = np.bincount(classes * 3 + split, minlength=3 * n_classes).reshape(-1, 3)
        assert counts.min() > 0
        mine.append(grouped_splits.off(split, classes, n_classes))
        split = grouped_splits.scikit_learns(groups, classes, seed)
        theirs.append(grouped_splits.off(split, classes, n_classes))
    mine, theirs = np.concatenate(mine), np.concatenate(theirs)
    assert mine.mean() < theirs.mean() / 2
    assert mine.max() <= theirs.max()


@quick
@given(
    rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=40, max_size=200),
    seed=st.integers(0, 99),
)
def test_groups_are_laid_out_alike_whatever_their_names_and_order(rows, seed):
    rows += [(unit, which) for unit in range(40, 43) for which in range(3)]
    names, classes = np.array(rows).T
    order = np.random.default_rng(seed).permutation(len(rows))
    found = []
    for key, cls in ((names, classes), (names[order], classes[order])):
        keys, unit = splits.units_of(key)
        units = unit[np.searchsorted(keys, key)]
        priority = splits.unit_priority(keys, unit, seed)
        split = splits.exact(units, priority, cls, 3, SHARES)
        found.append(dict(zip(keys.tolist(), split.tolist(), strict=True)))
    assert found[0] == found[1]


@quick
@given(
    sizes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=7),
    seed=st.integers(0, 9),
)
def test_few_groups_are_laid_out_nearly_as_well_as_any_way_could(sizes, seed):
    """Oracle: all ways that leave every class in every split, by squares of shares off."""
    sizes = np.array([[2, 2]] * 3 + [s for s in sizes if sum(s) > 1])
    unit, cls = np.nonzero(sizes)
    units, classes = np.repeat(unit, sizes[unit, cls]), np.repeat(cls, sizes[unit, cls])
    priority = splits.unit_priority(np.arange(len(sizes)), np.arange(len(sizes)), seed)
    totals = sizes.sum(axis=0)

    def costs(ways):
        counts = np.einsum("wus,uc->wcs", np.eye(3)[ways], sizes)
        cost = ((counts / totals[:, None] - np.array(SHARES)) ** 2).sum(axis=(1, 2))
        return np.where(counts.min(axis=(1, 2)) > 0, cost, np.inf)

    own = costs(splits.exact(units, priority, classes, 2, SHARES)[None])[0]
    every = np.array(list(product(range(3), repeat=len(sizes))))
    assert own <= costs(every).min() * 2 + 0.05
