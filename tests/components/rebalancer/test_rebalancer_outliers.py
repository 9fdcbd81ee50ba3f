"""Outliers of each class: planted ones are found, others are left alone."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import median_abs_deviation
from sklearn.ensemble import IsolationForest

from tfx_imbalance.components import hashing
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import outliers
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.outliers_params import OutlierOptions
from tfx_imbalance.components.rebalancer.rows import Rows

ROBUST = OutlierOptions(method="robust")
FOREST = OutlierOptions(method="isolation_forest")
METHODS = pytest.mark.parametrize("options", [ROBUST, FOREST], ids=["robust", "forest"])
NAMES = ["a", "b", "c"]


def usual_rows(n=600, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def planted(n=600, outlying=10, seed=0):
    """Rows of which the first `outlying` are far away in the second feature."""
    x = usual_rows(n, seed=seed)
    x[:outlying, 1] += np.where(np.arange(outlying) % 2, 40, -40)
    return x


@METHODS
def test_planted_outliers_are_found(options):
    x = planted()
    model = outliers.fit({0: x}, NAMES, options, 1)
    flags = model.flag(0, x)
    assert flags[:10].all()
    assert flags[10:].mean() < 0.02
    found = model.report(["yes"])["yes"]
    assert found.rows == 600
    assert found.share == pytest.approx(flags.mean())
    assert next(iter(found.features)) == "b"
    assert found.features["b"] >= 0.5
    assert found.unjudged == []


@METHODS
def test_a_class_is_judged_by_its_own_rows(options):
    """A rare class that lies elsewhere is not outlying as such."""
    far = usual_rows(60, seed=3) + np.float32(100)
    model = outliers.fit({0: usual_rows(), 1: far}, NAMES, options, 1)
    assert model.flag(1, far).mean() < 0.1
    assert model.flag(0, far).all()
    if options is ROBUST:  # a forest sees nothing farther out than its sample
        assert model.flag(1, usual_rows(20)).all()


@METHODS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_order_of_rows_does_not_matter(options, seed):
    x = planted(120, 4)
    x[:30, 2] = 0
    shuffled = x[np.random.default_rng(seed).permutation(len(x))]
    first, again = (outliers.fit({0: rows}, NAMES, options, 1) for rows in (x, shuffled))
    np.testing.assert_array_equal(first.flag(0, x), again.flag(0, x))
    np.testing.assert_array_equal(first.usual[0].low, again.usual[0].low)
    assert first.usual[0].cut == again.usual[0].cut
    assert first.found == again.found


def test_only_the_seed_changes_the_forest():
    x = usual_rows()
    cuts = [outliers.fit({0: x}, NAMES, FOREST, seed).usual[0].cut for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1] != cuts[2]


@METHODS
def test_model_can_be_sent_to_workers(options):
    x = planted()
    model = outliers.fit({0: x}, NAMES, options, 1)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.flag(0, x), model.flag(0, x))


def test_bounds_are_the_modified_z_score():
    """One normal feature: Iglewicz and Hoaglin's rule as it stands."""
    x = usual_rows(2000, 1)
    usual = outliers.fit({0: x}, ["a"], ROBUST, 0).usual[0]
    scale = median_abs_deviation(x[:, 0], scale=1 / 1.4826)
    assert usual.low[0] == pytest.approx(np.median(x) - 3.5 * scale, rel=1e-5)
    assert usual.high[0] == pytest.approx(np.median(x) + 3.5 * scale, rel=1e-5)


@pytest.mark.parametrize("draw", ["normal", "gamma", "lognormal"])
@pytest.mark.parametrize("d", [1, 10, 60])
@METHODS
def test_few_rows_are_flagged_however_many_features(options, d, draw):
    rng = np.random.default_rng(0)
    x = rng.gamma(2, size=(2000, d)) if draw == "gamma" else getattr(rng, draw)(size=(2000, d))
    model = outliers.fit({0: x.astype(np.float32)}, [f"f{i}" for i in range(d)], options, 0)
    assert model.found[0].share < 0.1


def test_forest_is_scikit_learns():
    x = planted()
    options = OutlierOptions(method="isolation_forest", contamination=0.05)
    model = outliers.fit({3: x}, NAMES, options, 9)
    theirs = IsolationForest(
        contamination=0.05, random_state=model.usual[3].forest.random_state
    ).fit(outliers._in_order(x))
    np.testing.assert_array_equal(model.flag(3, x), theirs.predict(x) == -1)
    assert model.flag(3, x).sum() == 30


def test_forest_sees_features_together():
    """Far from the diagonal on which all others lie, but in no single feature far out."""
    rng = np.random.default_rng(0)
    line = rng.normal(size=1000)
    x = np.stack([line, line + rng.normal(size=1000) * 0.01], axis=1).astype(np.float32)
    x[:3] = [[1.9, -1.9], [-1.9, 1.9], [1.8, -1.8]]
    assert not outliers.fit({0: x}, ["a", "b"], ROBUST, 0).flag(0, x)[:3].any()
    assert outliers.fit({0: x}, ["a", "b"], FOREST, 0).flag(0, x)[:3].all()


def test_features_without_spread_are_not_judged():
    x = planted()
    x[:, 0] = 5
    x[:, 2] = np.arange(600) % 100 == 0  # a flag that is rarely set is not outlying where it is
    model = outliers.fit({0: x}, NAMES, ROBUST, 0)
    assert model.report(["yes"])["yes"].unjudged == ["a", "c"]
    assert model.flag(0, x)[:10].all()
    changed = x.copy()
    changed[:, 0] = 1e30
    changed[:, 2] = -7
    np.testing.assert_array_equal(model.flag(0, changed), model.flag(0, x))
    np.testing.assert_array_equal(model.clip(0, changed)[:, [0, 2]], changed[:, [0, 2]])


@METHODS
def test_constant_rows_have_no_outliers(options):
    x = np.ones((100, 3), np.float32)
    model = outliers.fit({0: x}, NAMES, options, 0)
    assert model.found[0].share == 0
    assert model.found[0].features == {}
    assert model.found[0].unjudged == NAMES


def test_mostly_zero_features_are_judged_by_their_other_values():
    x = usual_rows(1000, 1) + np.float32(50)
    x[:700] = 0
    x[-2:, 0] = [90, 10]
    model = outliers.fit({0: x}, ["a"], ROBUST, 0)
    np.testing.assert_array_equal(np.flatnonzero(model.flag(0, x)), [998])  # 10 lies between
    usual = model.usual[0]
    assert usual.low[0] == 0
    assert 50 < usual.high[0] < 60
    assert model.found[0].features == {"a": 1.0}


@METHODS
def test_a_class_with_few_rows_is_told_and_left_alone(options):
    few = planted(outliers.MIN_ROWS - 1, 2)
    model = outliers.fit({0: usual_rows(), 1: few, 2: few[:0]}, NAMES, options, 0)
    assert not model.flag(1, few).any()
    np.testing.assert_array_equal(model.clip(1, few), few)
    told = model.report(["a", "b", "c"])
    assert told["b"].share is told["c"].share is None
    assert told["b"].reason == "29 rows, fewer than the 30 that tell what is usual"
    assert told["a"].reason == ""
    assert model.flag(0, few[:0]).shape == (0,)


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 1e-20, 1e20, 3e37]),
    st.floats(0.5, 9),
)
def test_clipped_rows_are_within_the_bounds_and_others_as_they_were(seed, size, threshold):
    rng = np.random.default_rng(seed)
    x = (rng.standard_cauchy(size=(80, 3)).clip(-9, 9) * size).astype(np.float32)
    options = OutlierOptions(method="robust", action="clip", threshold=threshold)
    model = outliers.fit({0: x}, NAMES, options, 0)
    clipped = model.clip(0, x)
    assert clipped.dtype == np.float32
    assert not model.flag(0, clipped).any()
    usual = model.usual[0]
    inside = (x >= usual.low) & (x <= usual.high)
    np.testing.assert_array_equal(clipped[inside], x[inside])
    np.testing.assert_array_equal(model.flag(0, x), ~inside.all(axis=1))


def test_rows_of_several_classes_keep_their_types():
    features = Features({"k": "int", "v": "float"}, ("c",), weight=("w", "float"), widths={"v": 2})
    assert outliers.column_names(features) == ["k", "v[0]", "v[1]"]
    rng = np.random.default_rng(0)
    n = 200
    rows = Rows(
        np.arange(n),
        np.arange(n) % 2,
        {
            "k": rng.integers(-20, 20, n) + 2**40 * (np.arange(n) % 2),
            "v": np.float32(rng.normal(size=(n, 2))),
            "c": rng.integers(0, 3, n),
            "w": np.ones(n, np.float32),
        },
    )
    rows.columns["k"][[0, 2]] = [1000, -1000]
    rows.columns["v"][4, 1] = 99
    numeric = np.column_stack([rows.columns["k"], rows.columns["v"]]).astype(np.float32)
    samples = {code: numeric[rows.codes == code] for code in (0, 1)}
    model = outliers.fit(samples, outliers.column_names(features), ROBUST, 0)
    flags = model.flag_rows(rows, features)
    assert flags[[0, 2, 4]].all()
    for code in (0, 1):
        mine = rows.codes == code
        np.testing.assert_array_equal(flags[mine], model.flag(code, numeric[mine]))

    clipped = model.clip_rows(rows, features)
    for name, column in rows.columns.items():
        assert clipped.columns[name].dtype == column.dtype
        assert clipped.columns[name].shape == column.shape
    usual = model.usual[0]
    assert clipped.columns["k"][0] == np.floor(usual.high[0])
    assert clipped.columns["k"][2] == np.ceil(usual.low[0])
    assert clipped.columns["v"][4, 1] == usual.high[2]
    np.testing.assert_array_equal(clipped.columns["k"][~flags], rows.columns["k"][~flags])
    assert not model.flag_rows(clipped, features).any()


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 20), st.integers(0, 60))
def test_a_sample_of_samples_is_a_sample_of_all(ids, n, cut):
    ids = np.array(ids, np.int64)
    rows = Rows(ids, np.zeros(len(ids), np.int64), {"a": ids.astype(np.float32)})
    parts = [outliers.thinned(rows.take(part), n, 5) for part in (slice(cut), slice(cut, None))]
    merged = outliers.thinned(Rows.concatenated(parts), n, 5)
    words = np.sort(hashing.keyed(ids, 5, "outliers"))[:n]
    np.testing.assert_array_equal(np.sort(hashing.keyed(merged.ids, 5, "outliers")), words)
    np.testing.assert_array_equal(merged.columns["a"], merged.ids)


def test_method_none_looks_at_nothing():
    model = outliers.fit({0: planted()}, NAMES, OutlierOptions(), 0)
    assert not model.flag(0, planted()).any()
    assert model.report(["yes"]) == {}


def test_no_numeric_feature_is_a_mistake():
    with pytest.raises(UserError, match=r"^rebalance.outliers.method: 'robust' .* found none"):
        outliers.fit({0: np.empty((50, 0), np.float32)}, [], ROBUST, 0)


@pytest.mark.parametrize(
    ("given_options", "told"),
    [
        ({"method": "svm"}, "'none', 'isolation_forest' or 'robust'"),
        ({"method": "robust", "contamination": 0.1}, "isolation_forest does"),
        ({"method": "isolation_forest", "action": "clip"}, "use method robust"),
        ({"action": "drop"}, "method none finds no outliers"),
        ({"method": "isolation_forest", "contamination": 0.1, "threshold": 3}, "one of the two"),
        ({"method": "isolation_forest", "contamination": 0.6}, "less than or equal to 0.5"),
        ({"method": "robust", "threshold": 0}, "greater than 0"),
        ({"method": "robust", "sample_rows": 10}, "greater than or equal to 100"),
        ({"metod": "robust"}, "Extra inputs"),
    ],
)
def test_options_that_do_not_fit_are_told(given_options, told):
    with pytest.raises(ValidationError, match=told):
        OutlierOptions(**given_options)
