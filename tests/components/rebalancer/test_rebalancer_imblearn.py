"""All of imbalanced-learn by name, against imbalanced-learn called directly."""

import functools
import pickle
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import imblearn_sampler as adapter

CLASSES = ("rare", "big", "mid")
NUMERIC = Features({"a": "float", "b": "float", "k": "int"}, weight=("w", "float"), widths={"b": 2})
MIXED = Features({"a": "float", "b": "float"}, ("c", "d"), weight=("w", "int"))
CATEGORICAL = Features({}, ("c", "d"))
SAMPLER = adapter.ImblearnSampler()
PATHS = list(adapter.available())
NUMBERS_ONLY = ("InstanceHardnessThreshold", "NeighbourhoodCleaningRule")
"""Samplers that fail on labels that are text."""
ARGUMENTS = {
    # Its own clustering of so few rows finds no cluster in which a class is dense.
    "imblearn.over_sampling.KMeansSMOTE": {"cluster_balance_threshold": 0.01},
    "imblearn.under_sampling.InstanceHardnessThreshold": {"cv": 2},  # quick
}


def make_rows(features=NUMERIC, seed=0, repeats=True):
    """150, 60 and 30 rows of overlapping classes; some are repeated, some lie in both classes."""
    rng = np.random.default_rng(seed)
    codes = np.repeat([1, 2, 0], [150, 60, 30])
    n = len(codes)
    columns = {}
    for name, kind in features.types.items():
        if name in features.categorical:
            columns[name] = rng.integers(0, 4, n) + codes % 2
        elif name == (features.weight or ("",))[0]:
            columns[name] = rng.integers(1, 9, n).astype(np.float32 if kind == "float" else int)
        else:
            shape = (n, features.widths[name]) if name in features.widths else n
            value = rng.normal(size=shape) * 2 + (codes if shape == n else codes[:, None])
            columns[name] = np.rint(value).astype(int) if kind == "int" else np.float32(value)
    rows = Rows(rng.integers(-(2**63), 2**63 - 1, n), codes, columns)
    index = np.arange(n)
    if repeats:
        index[[10, 11, 12, 13]] = 5  # four more of one row, same identity
        index[220:223] = 230
    return rows.take(index)


def make_split(features=NUMERIC, seed=7, rows=None):
    rows = make_rows(features) if rows is None else rows
    return Split(rows.ordered(), CLASSES, features, seed)


def params(path, seed=7, **options):
    return RebalanceParams(method="imblearn", sampler=path, seed=seed, **options)


def features_for(path):
    return {"SMOTENC": MIXED, "SMOTEN": CATEGORICAL}.get(path.rpartition(".")[2], NUMERIC)


def counts_of(split):
    rows = np.bincount(split.rows.codes, minlength=len(CLASSES)).tolist()
    return dict(zip(CLASSES, rows, strict=True))


@functools.cache
def outcome_of(path):
    """Of make_split with few arguments of the sampler's own."""
    options = params(path, sampler_params=ARGUMENTS.get(path, {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return SAMPLER.outcome(make_split(features_for(path)), options)


def counts_after(split, outcome):
    written = np.bincount(split.rows.codes, outcome.copies, len(CLASSES)).astype(int)
    if outcome.synthetic is not None:
        written += np.bincount(outcome.synthetic.codes, minlength=len(CLASSES))
    return dict(zip(CLASSES, written.tolist(), strict=True))


def sorted_rows(x, labels):
    table = np.column_stack([np.sort(CLASSES).searchsorted(labels), x])
    return table[np.lexsort(table.T[::-1])]


def resampled(split, outcome):
    """Matrix and labels that an outcome stands for."""
    x, codes = adapter.matrix(split), split.rows.codes
    parts = [np.repeat(x, outcome.copies, axis=0)]
    labels = [np.repeat(codes, outcome.copies)]
    if outcome.synthetic is not None:
        parts.append(adapter.matrix(Split(outcome.synthetic, CLASSES, split.features, 0)))
        labels.append(outcome.synthetic.codes)
    return np.concatenate(parts), np.array(CLASSES)[np.concatenate(labels)]


def test_all_samplers_are_found():
    assert {"imblearn.combine.SMOTEENN", "imblearn.under_sampling.TomekLinks"} < set(PATHS)
    assert len(PATHS) >= 21


@pytest.mark.parametrize("path", PATHS)
def test_result_is_what_imbalanced_learn_gives(path):
    features = features_for(path)
    split = make_split(features)
    arguments = ARGUMENTS.get(path, {})
    options = params(path, sampler_params=arguments)
    SAMPLER.check(counts_of(split), features, options)
    outcome = outcome_of(path)

    theirs = adapter.available()[path]
    if path.endswith("SMOTENC"):
        arguments = {"categorical_features": [2, 3]}
    if "random_state" in theirs(**arguments).get_params():
        arguments = {**arguments, "random_state": 7}
    x = adapter.matrix(split)
    labels = np.array(CLASSES)[split.rows.codes]
    if path.rpartition(".")[2] in NUMBERS_ONLY:
        x_theirs, y_theirs = theirs(**arguments).fit_resample(
            x, np.unique(labels, return_inverse=True)[1]
        )
        y_theirs = np.unique(labels)[y_theirs]
    else:
        x_theirs, y_theirs = theirs(**arguments).fit_resample(x, labels)
    x_ours, y_ours = resampled(split, outcome)
    integer = [
        features.types[n] == "int" for n in features.names for _ in range(features.widths.get(n, 1))
    ]
    x_theirs = x_theirs.astype(np.float32).astype(np.float64)
    x_theirs[:, integer] = np.rint(x_theirs[:, integer])
    np.testing.assert_array_equal(sorted_rows(x_ours, y_ours), sorted_rows(x_theirs, y_theirs))
    names, rows = np.unique(y_theirs, return_counts=True)
    assert counts_after(split, outcome) == dict(zip(names.tolist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("path", PATHS)
def test_result_repeats_and_does_not_depend_on_order(path):
    features = features_for(path)
    rows = make_rows(features)
    options = params(path, sampler_params=ARGUMENTS.get(path, {}))
    first = outcome_of(path)
    shuffled = rows.take(np.random.default_rng(1).permutation(len(rows.ids)))
    again = SAMPLER.outcome(make_split(features, rows=shuffled), options)
    np.testing.assert_array_equal(first.copies, again.copies)
    assert (first.synthetic is None) == (again.synthetic is None)
    if first.synthetic is not None:
        np.testing.assert_array_equal(first.synthetic.ids, again.synthetic.ids)
        for name, column in first.synthetic.columns.items():
            np.testing.assert_array_equal(column, again.synthetic.columns[name])


@pytest.mark.parametrize("path", [p for p in PATHS if ".over_sampling." in p])
def test_oversamplers_keep_every_row(path):
    outcome = outcome_of(path)
    if path.endswith("RandomOverSampler"):
        assert outcome.synthetic is None
        assert outcome.copies.min() == 1
        assert outcome.copies.max() > 1
    else:
        assert (outcome.copies == 1).all()
        assert outcome.synthetic is not None


@pytest.mark.parametrize("path", [p for p in PATHS if ".under_sampling." in p])
def test_undersamplers_only_remove(path):
    outcome = outcome_of(path)
    assert (outcome.synthetic is not None) == path.endswith("ClusterCentroids")
    assert set(np.unique(outcome.copies)) <= {0, 1}
    assert outcome.copies.min() == 0


def test_removed_rows_are_those_of_sample_indices():
    split = make_split()
    outcome = SAMPLER.outcome(split, params("imblearn.under_sampling.RandomUnderSampler"))
    theirs = adapter.available()["imblearn.under_sampling.RandomUnderSampler"](random_state=7)
    theirs.fit_resample(adapter.matrix(split), np.array(CLASSES)[split.rows.codes])
    np.testing.assert_array_equal(np.flatnonzero(outcome.copies), np.sort(theirs.sample_indices_))


def test_hard_centroids_are_rows_of_the_split():
    path = "imblearn.under_sampling.ClusterCentroids"
    outcome = SAMPLER.outcome(make_split(), params(path, sampler_params={"voting": "hard"}))
    made = 0 if outcome.synthetic is None else len(outcome.synthetic.ids)
    assert outcome.copies.sum() + made == 90
    assert outcome.copies.sum() > 80


def test_shrinkage_makes_synthetic_rows():
    path = "imblearn.over_sampling.RandomOverSampler"
    split = make_split()
    outcome = SAMPLER.outcome(split, params(path, sampler_params={"shrinkage": 0.5}))
    assert (outcome.copies[split.rows.codes == 1] == 1).all()
    assert set(outcome.synthetic.codes.tolist()) == {0, 2}


def test_synthetic_rows_have_the_columns_of_the_split():
    for path, features in [
        ("imblearn.over_sampling.SMOTE", NUMERIC),
        ("imblearn.over_sampling.SMOTENC", MIXED),
    ]:
        split = make_split(features)
        made = SAMPLER.outcome(split, params(path)).synthetic
        assert list(made.columns) == list(features.types)
        for name, column in made.columns.items():
            assert column.dtype == split.rows.columns[name].dtype
            assert column.shape[1:] == split.rows.columns[name].shape[1:]
        everyone = Rows.concatenated([split.rows, made])
        assert len(np.unique(made.ids)) == len(made.ids)
        assert len(everyone.ids) == 450
        weight = split.rows.columns["w"][split.rows.codes == 0].mean()
        expected = np.rint(weight) if features is MIXED else np.float32(weight)
        np.testing.assert_allclose(made.columns["w"][made.codes == 0], expected, rtol=1e-6)


@given(data=st.data())
def test_every_output_row_is_accounted_for(data):
    """Rows of few values: many are equal, within and across classes."""
    pick = st.integers(0, 2)
    table = st.lists(st.tuples(pick, pick, pick), min_size=1, max_size=30)
    ours, theirs = np.array(data.draw(table)), np.array(data.draw(table))
    x, codes = ours[:, 1:].astype(float), ours[:, 0]
    copies, new = adapter._traced(None, x, codes, theirs[:, 1:].astype(float), theirs[:, 0])
    assert copies.sum() + new.sum() == len(theirs)
    left = list(map(tuple, theirs.tolist()))
    for row, times in zip(ours.tolist(), copies.tolist(), strict=True):
        for _ in range(times):
            left.remove(tuple(row))
    assert sorted(left) == sorted(map(tuple, theirs[new].tolist()))
    for i in np.flatnonzero(copies == 0):
        equal = (ours == ours[i]).all(axis=1)
        assert copies[equal][: equal[: i + 1].sum()].sum() == copies[equal].sum()
        assert tuple(ours[i].tolist()) not in left


def test_strategy_by_class_name():
    split = make_split()
    after = {"big": 40, "mid": 35, "rare": 30}
    options = params("imblearn.under_sampling.NearMiss", sampling_strategy={"big": 40, "mid": 35})
    SAMPLER.check(counts_of(split), NUMERIC, options)
    assert counts_after(split, SAMPLER.outcome(split, options)) == after
    options = params(
        "imblearn.under_sampling.NearMiss",
        sampler_params={"sampling_strategy": {"big": 40, "mid": 35}},
    )
    assert counts_after(split, SAMPLER.outcome(split, options)) == after
    options = params(TOMEK, sampling_strategy=("mid",))
    SAMPLER.check(counts_of(split), NUMERIC, options)
    removed = SAMPLER.outcome(split, options).copies == 0
    assert set(split.rows.codes[removed].tolist()) == {2}


def test_estimators_inside_are_built_and_seeded():
    forest = {"class": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 3}}
    path = "imblearn.under_sampling.InstanceHardnessThreshold"
    options = params(path, sampler_params={"estimator": forest, "cv": 2})
    sampler = adapter.built(options, NUMERIC)
    assert sampler.estimator.n_estimators == 3
    assert sampler.random_state == sampler.estimator.random_state == 7
    SAMPLER.check(counts_of(make_split()), NUMERIC, options)
    first, again = (SAMPLER.outcome(make_split(), options).copies for _ in range(2))
    np.testing.assert_array_equal(first, again)

    smote = {"class": "imblearn.over_sampling.SMOTE", "params": {"k_neighbors": 2}}
    edited = {
        "class": "imblearn.under_sampling.EditedNearestNeighbours",
        "params": {"sampling_strategy": ["big"]},
    }
    options = params("imblearn.combine.SMOTEENN", sampler_params={"smote": smote, "enn": edited})
    SAMPLER.check(counts_of(make_split()), NUMERIC, options)
    first, again = (SAMPLER.outcome(make_split(), options) for _ in range(2))
    np.testing.assert_array_equal(first.copies, again.copies)
    np.testing.assert_array_equal(first.synthetic.columns["a"], again.synthetic.columns["a"])


def test_learners_of_xgboost_judge_hardness():
    pytest.importorskip("xgboost")
    learner = {"class": "xgboost.XGBClassifier", "params": {"n_estimators": 2, "n_jobs": 1}}
    path = "imblearn.under_sampling.InstanceHardnessThreshold"
    options = params(path, sampler_params={"estimator": learner, "cv": 2})
    split = make_split()
    SAMPLER.check(counts_of(split), NUMERIC, options)
    assert 0 < (SAMPLER.outcome(split, options).copies == 0).sum() < len(split)


def test_imbalanced_learn_that_is_not_there_is_told(monkeypatch):
    adapter.available.cache_clear()
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(UserError, match=r"needs the package imbalanced-learn.*pip install"):
        SAMPLER.check({"rare": 1, "big": 9}, NUMERIC, params(SMOTE))
    adapter.available.cache_clear()


def test_a_random_state_that_is_given_stays():
    path = "imblearn.over_sampling.SMOTE"
    given_state = params(path, sampler_params={"random_state": 3})
    assert adapter.built(given_state, NUMERIC).random_state == 3
    assert adapter.built(params(path, seed=2**32 + 5), NUMERIC).random_state == 5


def test_categorical_features_by_name():
    path = "imblearn.over_sampling.SMOTENC"
    assert adapter.built(params(path), MIXED).categorical_features == [2, 3]
    by_name = params(path, sampler_params={"categorical_features": ["k", "b"]})
    assert adapter.built(by_name, NUMERIC).categorical_features == [3, 1, 2]


def test_random_samplers_take_categories():
    for path in (
        "imblearn.over_sampling.RandomOverSampler",
        "imblearn.under_sampling.RandomUnderSampler",
    ):
        split = make_split(MIXED)
        SAMPLER.check(counts_of(split), MIXED, params(path))
        assert len(set(counts_after(split, SAMPLER.outcome(split, params(path))).values())) == 1


def test_sampler_and_params_can_be_sent_to_workers():
    outcome = SAMPLER.outcome(make_split(), params("imblearn.over_sampling.SMOTE"))
    assert pickle.loads(pickle.dumps(SAMPLER)).name == "imblearn"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(outcome)).copies, outcome.copies)


SMOTE, TOMEK = "imblearn.over_sampling.SMOTE", "imblearn.under_sampling.TomekLinks"


@pytest.mark.parametrize(
    ("path", "options", "features", "told"),
    [
        ("imblearn.under_sampling.TomekLink", {}, NUMERIC, ["did you mean imblearn.under_sampli"]),
        ("sklearn.svm.SVC", {}, NUMERIC, ["rebalance.sampler: 'sklearn.svm.SVC'", SMOTE, TOMEK]),
        ("imblearn.ensemble.EasyEnsembleClassifier", {}, NUMERIC, ["a classifier"]),
        ("imblearn.FunctionSampler", {}, NUMERIC, ["needs a Python function"]),
        (
            SMOTE,
            {"sampler_params": {"neighbours": 3}},
            NUMERIC,
            ["rebalance.sampler_params.neighbours: not an argument", "k_neighbors"],
        ),
        (
            SMOTE,
            {"sampler_params": {"k_neighbors": -1}},
            NUMERIC,
            ["rebalance.sampler_params.k_neighbors: SMOTE says", "Got -1"],
        ),
        (
            SMOTE,
            {"sampler_params": {"sampling_strategy": "all"}, "sampling_strategy": "minority"},
            NUMERIC,
            ["rebalance.sampler_params.sampling_strategy: 'all'", "'minority' already"],
        ),
        (SMOTE, {"sampling_strategy": {"huge": 9}}, NUMERIC, ["no rows of class huge"]),
        (
            "imblearn.combine.SMOTEENN",
            {
                "sampler_params": {
                    "enn": {
                        "class": "imblearn.under_sampling.EditedNearestNeighbours",
                        "params": {"sampling_strategy": ["huge"]},
                    }
                }
            },
            NUMERIC,
            ["rebalance.sampler_params.enn.params.sampling_strategy", "no rows of class huge"],
        ),
        (SMOTE, {"sampling_strategy": ("rare",)}, NUMERIC, ["Got ['rare'] instead"]),
        (TOMEK, {"sampling_strategy": ("huge",)}, NUMERIC, ["no rows of class huge"]),
        (TOMEK, {"sampling_strategy": {"big": 9}}, NUMERIC, ["rebalance.sampling_strategy"]),
        (SMOTE, {}, MIXED, ["rebalance.sampler: SMOTE", "(c, d)", "SMOTENC"]),
        (
            "imblearn.over_sampling.RandomOverSampler",
            {"sampler_params": {"shrinkage": 1}},
            MIXED,
            ["shrinkage", "(c, d)"],
        ),
        ("imblearn.over_sampling.SMOTENC", {}, NUMERIC, ["only numeric ones (a, b, k)"]),
        ("imblearn.over_sampling.SMOTENC", {}, CATEGORICAL, ["only categorical", "SMOTEN"]),
        ("imblearn.over_sampling.SMOTEN", {}, MIXED, ["features a, b are"]),
        (
            "imblearn.over_sampling.SMOTENC",
            {"sampler_params": {"categorical_features": ["z"]}},
            MIXED,
            ["no feature 'z'; there are a, b, c, d"],
        ),
        (SMOTE, {"max_growth": 1.5}, NUMERIC, ["rebalance.max_growth: 1.5 allows 360", "450"]),
        (SMOTE, {}, Features({}), ["needs a feature"]),
        (SMOTE, {}, Features({"a": "float"}, (), {"t": "is text"}), ["'t' is text"]),
        (
            SMOTE,
            {"sampler_params": {"k_neighbors": {"class": "os.path.join"}}},
            NUMERIC,
            ["rebalance.sampler_params.k_neighbors.class: 'os.path.join'", "imblearn, sklearn"],
        ),
        (
            SMOTE,
            {"sampler_params": {"k_neighbors": {"class": "sklearn.neighbors.Nope"}}},
            NUMERIC,
            ["cannot be imported"],
        ),
        (
            SMOTE,
            {"sampler_params": {"k_neighbors": {"class": "sklearn.base.clone"}}},
            NUMERIC,
            ["not an estimator"],
        ),
        (
            SMOTE,
            {
                "sampler_params": {
                    "k_neighbors": {
                        "class": "sklearn.neighbors.NearestNeighbors",
                        "params": {"q": 1},
                    }
                }
            },
            NUMERIC,
            ["rebalance.sampler_params.k_neighbors.params.q: not an argument", "n_neighbors"],
        ),
    ],
)
def test_mistakes_are_told_before_any_work(path, options, features, told):
    with pytest.raises(UserError) as error:
        SAMPLER.check({"rare": 30, "big": 150, "mid": 60}, features, params(path, **options))
    for text in told:
        assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_too_large_a_matrix_is_told_with_figures():
    counts = {"rare": 1_000_000, "big": 9_000_000, "mid": 0}
    with pytest.raises(UserError, match=r"^rebalance.memory_limit_mb: 1024, .* about 1145 MB") as e:
        SAMPLER.check(counts, NUMERIC, params(TOMEK))
    assert "10000000 rows of 4 numbers" in str(e.value)
    SAMPLER.check(counts, NUMERIC, params(TOMEK, memory_limit_mb=1145))


def test_what_imbalanced_learn_refuses_is_one_line():
    split = make_split(rows=make_rows().take(np.r_[0:150, 235:240]))
    with pytest.raises(UserError, match=r"^rebalance.sampler_params: SMOTE says: \S.*") as error:
        SAMPLER.outcome(split, params(SMOTE))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"KMeansSMOTE says: No cluster.*, 2 is rare\)$"):
        SAMPLER.outcome(
            make_split(),
            params(
                "imblearn.over_sampling.KMeansSMOTE",
                sampler_params={"cluster_balance_threshold": 1.0},
            ),
        )


def test_a_class_that_vanishes_is_told():
    rng = np.random.default_rng(0)
    codes = np.repeat([1, 0, 2], [50, 1, 50])
    columns = {"a": np.float32(rng.normal(size=101) * 0.1 + codes * 10)}
    columns["a"][50] = 10  # amid the rows of class 1
    rows = Rows(np.arange(101), codes, columns)
    split = Split(rows.ordered(), CLASSES, Features({"a": "float"}), 0)
    path = "imblearn.under_sampling.EditedNearestNeighbours"
    with pytest.raises(UserError, match="leaves no row of class rare, which has 1 in train"):
        SAMPLER.outcome(split, params(path, sampling_strategy="all"))


def test_counts_are_not_known_before():
    counts = {"rare": 30, "big": 150, "mid": 60}
    assert SAMPLER.targets(counts, params(SMOTE)) == counts
