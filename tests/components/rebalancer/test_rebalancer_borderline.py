"""Borderline-SMOTE against imbalanced-learn's danger and the paper's segments."""

from dataclasses import replace

import numpy as np
import pytest
from imblearn.over_sampling import BorderlineSMOTE

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.borderline_smote import (
    BorderlineSmote1,
    BorderlineSmote2,
    in_danger,
)
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("maybe", "no", "yes")
FEATURES = Features({"a": "float", "b": "float", "c": "float"}, weight=("w", "float"))
K, M = 4, 9
FIRST, SECOND = BorderlineSmote1(), BorderlineSmote2()
OUTWARD = "borderline_smote_2/towards_others"


def params(sampler, **options):
    return RebalanceParams(
        method=sampler.name, **{"k_neighbors": K, "m_neighbors": M, "seed": 2} | options
    )


def split_of(x, codes):
    columns = {name: x[:, j].astype(np.float32) for j, name in enumerate("abc")}
    columns["w"] = np.arange(len(x), dtype=np.float32)
    return Split(Rows(np.arange(len(x)), codes, columns), CLASSES, FEATURES, seed=2)


def make_split(counts=(60, 200, 40), apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(3), counts))
    return split_of(rng.normal(size=(len(codes), 3)) + codes[:, None] * apart, codes)


def nearest(split, i, among, k):
    x = split.numeric.astype(np.float64)
    among = among[among != i]
    return among[np.argsort(((x[among] - x[i]) ** 2).sum(axis=1))[:k]]


def gaps(split, made, among, k):
    """For each synthetic row its gap on the way to one of its base's k nearest; NaN if none."""
    x = split.numeric.astype(np.float64)
    new = np.column_stack([made.columns[name] for name in "abc"]).astype(np.float64)
    found = np.full(len(new), np.nan)
    for s, base in enumerate(made.columns["w"].astype(int)):
        ways = x[nearest(split, base, among, k)] - x[base]
        gap = ((new[s] - x[base]) * ways).sum(axis=1) / (ways**2).sum(axis=1)
        off = np.abs(x[base] + gap[:, None] * ways - new[s]).max(axis=1)
        if off.min() < 1e-5:
            found[s] = gap[off.argmin()]
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("m", [4, 9])
def test_rows_in_danger_are_theirs(seed, m):
    split = make_split(seed=seed)
    theirs = BorderlineSMOTE(m_neighbors=m, sampling_strategy={0: 200, 2: 200})
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    for source in FIRST.sources(split, {0: 140, 2: 160}, params(FIRST, m_neighbors=m)):
        assert 0 < len(source.bases) < len(source.pool)
        np.testing.assert_array_equal(source.bases, theirs.in_danger_indices[source.code])


def test_danger_is_from_half_to_less_than_all():
    assert in_danger(np.arange(5), 4).tolist() == [False, False, True, True, False]
    assert in_danger(np.arange(4), 3).tolist() == [False, False, True, False]


def test_version_1_lies_between_rows_in_danger_and_neighbours_of_the_class():
    split = make_split()
    rows = split.of_class(2)
    (source,) = FIRST.sources(split, {2: 301}, params(FIRST))
    made, origin = synthesise(FIRST, split, source, 0, 301)
    found = gaps(split, made, rows, K)
    assert ((found > -1e-6) & (found < 1 + 1e-6)).all()
    assert set(origin.base) == set(source.bases)
    assert np.ptp(np.unique(origin.base, return_counts=True)[1]) <= 1
    assert set(origin.neighbor) - set(source.bases)


def test_version_2_goes_half_the_times_up_to_half_the_way_to_the_nearest_other_row():
    split = make_split()
    inward, outward = SECOND.sources(split, {2: 301}, params(SECOND))
    assert (inward.uses.sum(), outward.uses.sum()) == (151, 150)
    assert (inward.method, outward.method) == (SECOND.name, OUTWARD)
    assert np.ptp(inward.uses + outward.uses) <= 1
    made = synthesise(SECOND, split, inward, 0, 151)[0]
    found = gaps(split, made, split.of_class(2), K)
    assert ((found > -1e-6) & (found < 1 + 1e-6)).all()
    made, origin = synthesise(SECOND, split, outward, 0, 150)
    others = np.flatnonzero(split.rows.codes != 2)
    found = gaps(split, made, others, 1)
    np.testing.assert_allclose(found, origin.gap, atol=1e-5)
    assert 0.4 < found.max() < 0.5
    assert (made.codes == 2).all()


def test_version_2_has_the_bases_of_version_1_and_may_make_a_single_row():
    split = make_split()
    new = {0: 1, 2: 90}
    first = FIRST.sources(split, new, params(FIRST))
    second = SECOND.sources(split, new, params(SECOND))
    assert [source.code for source in second] == [0, 2, 2]
    for source in second:
        (same,) = (other for other in first if other.code == source.code)
        np.testing.assert_array_equal(source.bases, same.bases)


def test_rows_that_the_sources_name_are_enough():
    split = make_split()
    for source in SECOND.sources(split, {2: 51}, params(SECOND)):
        named = np.union1d(source.bases, source.pool)
        reduced = replace(split, rows=split.rows.take(named))
        moved = replace(
            source,
            bases=np.searchsorted(named, source.bases),
            pool=np.searchsorted(named, source.pool),
        )
        n = int(source.uses.sum())
        whole = synthesise(SECOND, split, source, 0, n)[0]
        cuts = ((0, 7), (7, n))
        parts = Rows.concatenated([synthesise(SECOND, reduced, moved, *cut)[0] for cut in cuts])
        np.testing.assert_array_equal(parts.ids, whole.ids)
        for name in "abc":
            np.testing.assert_array_equal(parts.columns[name], whole.columns[name])


def test_one_row_of_another_class_is_enough_to_go_towards():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(9, 3))
    x[8] = x[0] + 0.01
    split = split_of(x, np.repeat([2, 1], [8, 1]))
    _, outward = SECOND.sources(split, {2: 20}, params(SECOND, m_neighbors=2))
    assert set(synthesise(SECOND, split, outward, 0, 10)[1].neighbor) == {8}


@pytest.mark.parametrize("sampler", [FIRST, SECOND])
def test_a_class_without_rows_in_danger_is_told(sampler):
    split = make_split(apart=1000)
    with pytest.raises(UserError, match=f"^rebalance.method: '{sampler.name}'") as error:
        sampler.sources(split, {2: 5}, params(sampler))
    for text in ("class yes", "9 nearest", "use smote"):
        assert text in str(error.value)


def test_counts_and_features_are_checked():
    asked = params(FIRST, sampling_strategy={"yes": 20}, m_neighbors=20)
    FIRST.check({"maybe": 1, "no": 14, "yes": 6}, FEATURES, asked)
    with pytest.raises(UserError, match=r"^rebalance.m_neighbors: 20 .* train has 20"):
        FIRST.check({"maybe": 1, "no": 13, "yes": 6}, FEATURES, asked)
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 4 .* class yes has 4"):
        SECOND.check({"no": 90, "yes": 4}, FEATURES, params(SECOND))
    with pytest.raises(UserError, match=r"'borderline_smote_2' .*job.* use smote_nc"):
        SECOND.check({"no": 90, "yes": 9}, Features({"a": "float"}, ("job",)), params(SECOND))
