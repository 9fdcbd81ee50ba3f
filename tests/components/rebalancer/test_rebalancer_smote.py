"""SMOTE against its definition."""

import numpy as np
import pytest
from scipy import stats

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, Rows
from tfx_imbalance.components.rebalancer.samplers.interpolation import between, draw

K = 4
FEATURES = Features({"a": "float", "b": "float"}, weight=("w", "float"))
PARAMS = RebalanceParams(method="smote", k_neighbors=K, seed=3)


def make_rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(size=n).astype(np.float32) for name in ("a", "b")}
    # The weight tells which row a synthetic one has as its base.
    columns["w"] = np.arange(n, dtype=np.float32)
    return Rows(rng.integers(-(2**62), 2**62, n), columns)


def synthesise(rows, n, features=FEATURES, params=PARAMS):
    return SAMPLERS["smote"].synthesise(rows.ordered(), n, features, params)


def points(rows):
    return np.column_stack([rows.columns["a"], rows.columns["b"]]).astype(np.float64)


def nearest(x, i, k):
    distance = ((x - x[i]) ** 2).sum(axis=1)
    distance[i] = np.inf
    return np.argsort(distance)[:k]


def gaps(rows, made, k):
    """For each synthetic row the gap to each of its base's k neighbours; NaN if not between."""
    x, new = points(rows), points(made)
    result = np.full((len(new), k), np.nan)
    for s, base in enumerate(made.columns["w"].astype(int)):
        for j, other in enumerate(nearest(x, base, k)):
            way = x[other] - x[base]
            gap = (new[s] - x[base]) @ way / (way @ way)
            off = np.abs(x[base] + gap * way - new[s]).max()
            if off < 1e-6 and -1e-6 <= gap <= 1 + 1e-6:
                result[s, j] = gap
    return result


def test_every_synthetic_row_lies_between_its_base_and_one_of_its_k_nearest():
    rows = make_rows()
    found = gaps(rows, synthesise(rows, 500), K)
    assert (~np.isnan(found)).any(axis=1).all()


def test_gaps_are_uniform_and_neighbours_equally_likely():
    rows = make_rows()
    found = gaps(rows, synthesise(rows, 3000), K)
    single = (~np.isnan(found)).sum(axis=1) == 1
    assert single.mean() > 0.95
    gap = np.nanmax(found[single], axis=1)
    assert stats.kstest(gap, "uniform").pvalue > 0.01
    chosen = np.nanargmax(found[single], axis=1)
    assert stats.chisquare(np.bincount(chosen, minlength=K)).pvalue > 0.01
    assert abs(stats.spearmanr(gap, chosen).statistic) < 0.05


@pytest.mark.parametrize("n", [1, 59, 60, 61, 500])
def test_bases_are_used_evenly(n):
    made = synthesise(make_rows(), n)
    uses = np.bincount(made.columns["w"].astype(int), minlength=60)
    assert uses.sum() == n
    assert uses.max() - uses.min() <= 1


def test_order_of_the_rows_does_not_matter():
    rows = make_rows()
    shuffled = rows.take(np.random.default_rng(1).permutation(60))
    first, second = synthesise(rows, 130), synthesise(shuffled, 130)
    np.testing.assert_array_equal(first.ids, second.ids)
    for name, column in first.columns.items():
        np.testing.assert_array_equal(column, second.columns[name])


def test_equal_rows_make_different_synthetic_rows():
    rows = make_rows(8)
    rows = rows.take(np.repeat(np.arange(8), 3))
    made = synthesise(rows, 240)
    assert len(set(made.ids.tolist())) == 240
    assert len({*zip(made.columns["a"].tolist(), made.columns["b"].tolist(), strict=True)}) > 100


def test_rows_that_are_all_equal_give_the_same_row():
    rows = make_rows(1).take(np.zeros(9, np.int64))
    made = synthesise(rows, 20)
    for name in ("a", "b"):
        np.testing.assert_array_equal(made.columns[name], np.repeat(rows.columns[name][0], 20))


def test_integers_are_rounded_to_the_nearest():
    rng = np.random.default_rng(4)
    big = 2**53 - 1000
    columns = {"a": rng.normal(size=30).astype(np.float32), "n": rng.integers(0, 9, 30) + big}
    rows = Rows(np.arange(30), columns)
    made = synthesise(rows, 400, Features({"a": "float", "n": "int"}))
    assert made.columns["n"].dtype == np.int64
    assert set((made.columns["n"] - big).tolist()) == set(range(9))
    drawn = draw(np.arange(30), 400, K, PARAMS.seed)
    other = SAMPLERS["smote"].search(rows, Features({"a": "float", "n": "int"}), K)
    other = other[drawn.base, drawn.neighbor]
    start, end = (columns["n"][i] - big for i in (drawn.base, other))
    exact = start + drawn.gap * (end - start)
    assert np.abs(made.columns["n"] - big - exact).max() <= 0.5


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
            Features({"a": "float"}, (), {"notes": "is text", "v": "has shape [3]"}),
            ["'notes' is text", "'v' has shape [3]", "over"],
        ),
    ],
)
def test_features_it_cannot_use_are_named(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'smote'") as error:
        SAMPLERS["smote"].check({"yes": 9}, {"yes": 1}, features, PARAMS)
    for text in told:
        assert text in str(error.value)


def test_class_with_too_few_rows_is_named_only_where_it_grows():
    check = SAMPLERS["smote"].check
    check({"no": 90, "yes": 3}, {"no": 0, "yes": 0}, FEATURES, PARAMS)
    check({"no": 90, "yes": 5}, {"no": 0, "yes": 85}, FEATURES, PARAMS)
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 4 .* class yes has 4 in train"):
        check({"no": 90, "yes": 4}, {"no": 0, "yes": 86}, FEATURES, PARAMS)


def test_matrix_past_the_memory_limit_is_refused():
    params = PARAMS.model_copy(update={"memory_limit_mb": 2})
    check = SAMPLERS["smote"].check
    check({"no": 10**9, "yes": 2**18}, {"no": 0, "yes": 5}, FEATURES, params)
    with pytest.raises(UserError, match=r"^rebalance.memory_limit_mb: 2 MB .* 4 MB of yes"):
        check({"no": 10**9, "yes": 2**19}, {"no": 0, "yes": 5}, FEATURES, params)


def test_another_class_has_no_influence(run, data, kit):
    source = data.without("c", "d")
    strategy = {"yes": 50}
    params = RebalanceParams(method="smote", sampling_strategy=strategy, k_neighbors=3)
    alone = source.take(np.flatnonzero(source.columns["y"] != "perhaps"))
    with_others, without = (run(rows, params).rows for rows in (source, alone))
    yes = [{row for row in rows if ("y", b"yes") in row} for rows in (with_others, without)]
    assert yes[0] == yes[1]
