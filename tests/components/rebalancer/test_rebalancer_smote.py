"""SMOTE against its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS
from tfx_imbalance.components.rebalancer.samplers.interpolation import between
from tfx_imbalance.components.rebalancer.synthesis import synthesise

K = 4
FEATURES = Features({"a": "float", "b": "float"}, weight=("w", "float"))
VECTORS = Features({"a": "float", "v": "float"}, weight=("w", "float"), widths={"v": 3})
PARAMS = RebalanceParams(method="smote", k_neighbors=K, seed=3)
SAMPLER = SAMPLERS["smote"]


def make_rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n).astype(np.float32) for name in ("a", "b")}
    columns["v"] = rng.normal(size=(n, 3)).astype(np.float32)
    # The weight tells which row a synthetic one has as its base.
    columns["w"] = np.arange(n, dtype=np.float32)
    return Rows(rng.integers(-(2**62), 2**62, n), np.zeros(n, np.int64), columns)


def smote(rows, new, features=FEATURES, params=PARAMS, cuts=()):
    """Synthetic rows and their origin: new is rows of class 0, or class -> rows."""
    columns = {name: rows.columns[name] for name in features.types}
    rows = Rows(rows.ids, rows.codes, columns).ordered()
    split = Split(rows, ("yes", "perhaps"), features, params.seed)
    parts = []
    for source in SAMPLER.sources(split, {0: new} if isinstance(new, int) else new, params):
        bounds = [0, *cuts, int(source.uses.sum())]
        for start, stop in itertools.pairwise(bounds):
            if start < stop:
                parts.append(synthesise(SAMPLER, split, source, start, stop))
    made, origins = zip(*parts, strict=True)
    return Rows.concatenated(made), type(origins[0]).concatenated(origins)


def must_be_equal(first, second):
    for a, b in zip((first[0].ids, *first[1][:3]), (second[0].ids, *second[1][:3]), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, column in first[0].columns.items():
        np.testing.assert_array_equal(column, second[0].columns[name])


def points(rows, features):
    columns = [rows.columns[name] for name in features.numeric]
    return np.column_stack(columns).astype(np.float64)


def gaps(rows, made, features, k=K):
    """For each synthetic row the gap to each of its base's k neighbours; NaN if not between."""
    x, new = points(rows, features), points(made, features)
    base = made.columns["w"].astype(int)
    near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()[1][base]
    way = x[near] - x[base][:, None]
    to = (new - x[base])[:, None]
    gap = (to * way).sum(axis=2) / (way**2).sum(axis=2)
    off = np.abs(gap[..., None] * way - to).max(axis=2)
    return np.where((off < 1e-6) & (gap > -1e-6) & (gap < 1 + 1e-6), gap, np.nan), near


@pytest.mark.parametrize("features", [FEATURES, VECTORS], ids=["numbers", "vectors"])
def test_every_row_lies_between_its_base_and_one_of_its_k_nearest_and_says_so(features):
    rows = make_rows()
    made, origin = smote(rows, 500, features)
    found, near = gaps(rows, made, features)
    between_them = ~np.isnan(found)
    assert between_them.any(axis=1).all()
    assert (made.codes == 0).all()
    np.testing.assert_array_equal(origin.base, rows.ids[made.columns["w"].astype(int)])
    told = rows.ids[near] == origin.neighbor[:, None]
    assert (told.sum(axis=1) == 1).all()
    np.testing.assert_allclose(found[told], origin.gap, atol=1e-4)


def test_gaps_are_uniform_and_neighbours_equally_likely():
    rows = make_rows()
    made, origin = smote(rows, 20_000)
    _, near = gaps(rows, made, FEATURES)
    chosen = (rows.ids[near] == origin.neighbor[:, None]).argmax(axis=1)
    assert stats.kstest(origin.gap, "uniform").pvalue > 0.001
    assert stats.chisquare(np.bincount(chosen, minlength=K)).pvalue > 0.001
    assert stats.spearmanr(origin.gap, chosen).pvalue > 0.001
    # Successive uses of one base are independent too.
    same = np.flatnonzero(origin.base[1:] == origin.base[:-1])
    assert stats.spearmanr(origin.gap[same], origin.gap[same + 1]).pvalue > 0.001


@pytest.mark.parametrize("n", [1, 59, 60, 61, 500])
def test_bases_are_used_evenly(n):
    made, _ = smote(make_rows(), n)
    uses = np.bincount(made.columns["w"].astype(int), minlength=60)
    assert uses.sum() == n
    assert uses.max() - uses.min() <= 1


@settings(max_examples=40)
@given(
    n=st.integers(1, 150),
    cuts=st.lists(st.integers(0, 150), max_size=5),
    twins=st.booleans(),
)
def test_pieces_are_those_of_the_whole_wherever_it_is_cut(n, cuts, twins):
    rows = make_rows(12)
    if twins:
        rows = rows.take(np.repeat(np.arange(12), [1, 3] * 6))
    cuts = sorted(cut for cut in cuts if cut <= n)
    must_be_equal(smote(rows, n), smote(rows, n, cuts=cuts))


@settings(max_examples=20)
@given(order=st.permutations(range(18)))
def test_order_of_the_rows_does_not_matter(order):
    # Rows 12 to 17 are of an identity that occurs before, three of them with another weight.
    rows = make_rows(12).take(np.append(np.arange(12), np.arange(6)))
    rows.columns["w"][15:] += 100
    must_be_equal(smote(rows, 70), smote(rows.take(np.array(order)), 70))


def test_rows_of_one_identity_make_different_rows():
    rows = make_rows(8)
    rows = rows.take(np.repeat(np.arange(8), 3))
    made, origin = smote(rows, 240)
    assert len(set(made.ids.tolist())) == 240
    assert len({*zip(origin.base.tolist(), origin.gap.tolist(), strict=True)}) == 240
    # Some of the three nearest are the base's twins, at no distance.
    assert len({*zip(made.columns["a"].tolist(), made.columns["b"].tolist(), strict=True)}) > 100


def test_rows_that_are_all_equal_give_the_same_row():
    rows = make_rows(1).take(np.zeros(9, np.int64))
    made, _ = smote(rows, 20)
    for name in ("a", "b"):
        np.testing.assert_array_equal(made.columns[name], np.repeat(rows.columns[name][0], 20))


def test_seed_decides():
    rows = make_rows()
    first, second = (
        smote(rows, 60, params=PARAMS.model_copy(update={"seed": seed})) for seed in (3, 4)
    )
    assert (first[1].gap != second[1].gap).all()
    assert not set(first[0].ids.tolist()) & set(second[0].ids.tolist())


def test_classes_have_their_own_rows_and_draws():
    rows = make_rows()
    rows = rows._replace(codes=np.arange(60) % 2)
    made, origin = smote(rows, {0: 40, 1: 50})
    np.testing.assert_array_equal(made.codes, np.repeat([0, 1], [40, 50]))
    for code in (0, 1):
        mine, known = made.codes == code, rows.ids[rows.codes == code]
        assert np.isin(origin.base[mine], known).all()
        assert np.isin(origin.neighbor[mine], known).all()
        alone = smote(rows.take(rows.codes == code), {code: int(mine.sum())})
        np.testing.assert_array_equal(alone[0].ids, made.ids[mine])
        np.testing.assert_array_equal(alone[1].gap, origin.gap[mine])


def test_integers_are_rounded_to_the_nearest():
    rng = np.random.default_rng(4)
    big = 2**53 - 1000
    columns = {"a": rng.normal(size=30).astype(np.float32), "n": rng.integers(0, 9, 30) + big}
    rows = Rows(np.arange(30), np.zeros(30, np.int64), columns)
    made, origin = smote(rows, 400, Features({"a": "float", "n": "int"}))
    assert made.columns["n"].dtype == np.int64
    assert set((made.columns["n"] - big).tolist()) == set(range(9))
    start, end = (columns["n"][i] - big for i in (origin.base, origin.neighbor))
    exact = start + origin.gap.astype(np.float64) * (end - start)
    assert np.abs(made.columns["n"] - big - exact).max() <= 0.5 + 1e-6


def test_huge_values_do_not_overflow():
    start, end = np.array([-3e38], np.float32), np.array([3e38], np.float32)
    for gap in (0.0, 0.25, 0.5, 1.0):
        expected = -3e38 + gap * 6e38
        np.testing.assert_allclose(between(start, end, np.array([gap])), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (Features({"a": "float"}, ("job", "town")), ["job, town", "use smote_nc"]),
        (Features({}), ["numeric feature", "use over"]),
        (
            Features({"a": "float"}, (), {"notes": "is text", "v": "has shape [3, 2]"}),
            ["'notes' is text", "'v' has shape [3, 2]", "over"],
        ),
    ],
)
def test_features_it_cannot_use_are_named(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'smote'") as error:
        SAMPLER.check({"no": 10, "yes": 9}, features, PARAMS)
    for text in told:
        assert text in str(error.value)


def test_class_with_too_few_rows_is_named_only_where_it_grows():
    check = SAMPLER.check
    few = PARAMS.model_copy(update={"sampling_strategy": {"perhaps": 90}})
    check({"no": 90, "perhaps": 5, "yes": 3}, FEATURES, few)
    check({"no": 90, "yes": 5}, FEATURES, PARAMS)
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 4 .* class yes has 4 in train"):
        check({"no": 90, "yes": 4}, FEATURES, PARAMS)


def test_another_class_has_no_influence(run, data):
    source = data.without("c", "d")
    strategy = {"yes": 50}
    params = RebalanceParams(method="smote", sampling_strategy=strategy, k_neighbors=3)
    alone = source.take(np.flatnonzero(source.columns["y"] != "perhaps"))
    with_others, without = (run(rows, params).rows for rows in (source, alone))
    yes = [{row for row in rows if ("y", b"yes") in row} for rows in (with_others, without)]
    assert yes[0] == yes[1]
