"""Objects with fit_resample, as imbalanced-learn's and scikit-learn's users know them."""

import pickle
import re
from collections import Counter
from pathlib import Path

import imblearn
import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import Pipeline, make_pipeline
from imblearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

import tfx_imbalance
from benchmarks.imblearn_suite import run
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import estimators
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams


def every():
    for name in estimators.__all__:
        kind = getattr(estimators, name)
        given = {"categorical_features": [0]} if name == "SMOTENC" else {}
        if "random_state" in kind._get_param_names():
            given["random_state"] = 0
        yield kind(**given)


ALL = list(every())
PAGE = (Path(__file__).parents[3] / "docs" / "rebalancing.md").read_text(encoding="utf-8")


BY_DESIGN = {
    ("SMOTENC", "check_samplers_string"): "its one column is a category; imbalanced-learn skips it",
}
CASES = {
    "over": (lambda: estimators.RandomOverSampler(random_state=3), {}),
    "rose": (lambda: estimators.ROSE(random_state=3, shrinkage=0.5), {"shrinkage": 0.5}),
    "under": (lambda: estimators.RandomUnderSampler(random_state=3), {}),
    "smote": (lambda: estimators.SMOTE(random_state=3, k_neighbors=4), {"k_neighbors": 4}),
    "borderline_smote_1": (lambda: estimators.BorderlineSMOTE(random_state=3), {}),
    "borderline_smote_2": (
        lambda: estimators.BorderlineSMOTE(random_state=3, kind="borderline-2", m_neighbors=8),
        {"m_neighbors": 8},
    ),
    "adasyn": (lambda: estimators.ADASYN(random_state=3, n_neighbors=4), {"k_neighbors": 4}),
    "kmeans_smote": (
        lambda: estimators.KMeansSMOTE(
            random_state=3, kmeans_estimator=2, cluster_balance_threshold=0.1, density_exponent=2.0
        ),
        {
            "n_clusters": 2,
            "k_neighbors": 2,
            "cluster_balance_threshold": 0.1,
            "density_exponent": 2.0,
        },
    ),
    "tomek_links": (lambda: estimators.TomekLinks(), {}),
    "edited_nearest_neighbours": (
        lambda: estimators.EditedNearestNeighbours(n_neighbors=2, kind_sel="mode"),
        {"n_neighbors": 2, "kind_sel": "mode"},
    ),
    "near_miss_1": (lambda: estimators.NearMiss(n_neighbors=4), {"n_neighbors": 4}),
    "near_miss_2": (lambda: estimators.NearMiss(version=2), {}),
    "near_miss_3": (lambda: estimators.NearMiss(version=3), {}),
}


def data(n=300):
    rng = np.random.default_rng(2)
    y = np.where(np.arange(n) % 5 == 0, 1, 0)
    return rng.normal(size=(n, 3)) + y[:, None], y


def rows_of(x, y):
    return Counter(zip(map(tuple, np.asarray(x).tolist()), np.asarray(y).tolist(), strict=True))


@parametrize_with_checks(ALL)
def test_the_checks_of_imbalanced_learn(estimator, check, request):
    if reason := BY_DESIGN.get((type(estimator).__name__, check.func.__name__)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=ValueError))
    check(estimator)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_parameters_are_checked_by_name(estimator):
    check_param_validation(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_names_of_columns_are_remembered(estimator):
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@pytest.mark.parametrize("method", CASES)
def test_the_rows_are_those_of_resample(method):
    x, y = data()
    make, options = CASES[method]
    params = RebalanceParams(method=method, seed=3, **options)
    sampler = make()
    x_new, y_new = sampler.fit_resample(x, y)
    done = resample(x, y, params)
    assert rows_of(x_new, y_new) == rows_of(done.x, done.y)
    if method in ("over", "under", "tomek_links", "edited_nearest_neighbours", "near_miss_1"):
        np.testing.assert_array_equal(np.sort(sampler.sample_indices_), done.index)
        np.testing.assert_array_equal(x_new, x[sampler.sample_indices_])
    if len(y_new) > len(y):
        np.testing.assert_array_equal(x_new[: len(y)], x)


@pytest.mark.parametrize(
    ("sampler", "method"),
    [
        (estimators.SMOTEENN(random_state=3), "edited_nearest_neighbours"),
        (estimators.SMOTETomek(random_state=3), "tomek_links"),
    ],
)
def test_rows_of_smote_are_cleaned(sampler, method):
    x, y = data()
    grown = resample(x, y, RebalanceParams(method="smote", seed=3))
    params = RebalanceParams(method=method, sampling_strategy="all")
    done = resample(grown.x, grown.y, params)
    assert rows_of(*sampler.fit_resample(x, y)) == rows_of(done.x, done.y)


def test_categories_by_vote():
    x, y = data()
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(job=np.where(x[:, 0] > 0, "x", "y"))
    for chosen in ([3], ["job"], [False, False, False, True]):
        x_new, y_new = estimators.SMOTENC(chosen, random_state=3).fit_resample(frame, y)
        table = frame.set_axis(["x0", "x1", "x2", "x3"], axis=1)
        done = resample(table, y, RebalanceParams(method="smote_nc", seed=3))
        np.testing.assert_array_equal(x_new.to_numpy(), done.x.to_numpy())
        assert Counter(y_new) == {0: 240, 1: 240}
    words = frame[["job"]].assign(more=np.where(x[:, 1] > 0, "p", "q"))
    x_new, _ = estimators.SMOTEN(random_state=3).fit_resample(words, y)
    done = resample(
        words.set_axis(["x0", "x1"], axis=1), y, RebalanceParams(method="smote_n", seed=3)
    )
    np.testing.assert_array_equal(x_new.to_numpy(), done.x.to_numpy())


def test_any_strategy_of_imbalanced_learn():
    x, y = data()
    for strategy, rows in [
        (0.5, 120),
        ({1: 99}, 99),
        (lambda y: {1: 77}, 77),
        ("minority", 240),
        ("all", 240),
    ]:
        sampler = estimators.SMOTE(sampling_strategy=strategy, random_state=0)
        assert Counter(sampler.fit_resample(x, y)[1])[1] == rows
    under = estimators.RandomUnderSampler(sampling_strategy="majority", random_state=0)
    assert Counter(under.fit_resample(x, y)[1]) == {0: 60, 1: 60}
    cleaned = estimators.TomekLinks(sampling_strategy=[1]).fit_resample(x, y)[1]
    assert Counter(cleaned)[0] == 240
    with pytest.raises(UserError, match="undersampling cannot take class 1 from 60 to 0 rows"):
        estimators.RandomUnderSampler(sampling_strategy={1: 0}).fit_resample(x, y)


def test_without_a_seed_each_call_draws_anew_and_numpys_own_seed_repeats_it():
    x, y = data()
    sampler = estimators.RandomUnderSampler()
    np.random.seed(5)
    first, second = (sampler.fit_resample(x, y)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    np.random.seed(5)
    np.testing.assert_array_equal(sampler.fit_resample(x, y)[0], first)
    state = estimators.RandomUnderSampler(random_state=np.random.RandomState(1))
    state.fit_resample(x, y)


def test_a_search_by_another_distance_is_refused():
    x, y = data()
    for metric in ("manhattan", "cosine"):
        search = NearestNeighbors(n_neighbors=4, metric=metric)
        with pytest.raises(UserError, match="k_neighbors: found NearestNeighbors"):
            estimators.SMOTE(k_neighbors=search).fit_resample(x, y)
    search = NearestNeighbors(n_neighbors=5)
    first = estimators.SMOTE(k_neighbors=search, random_state=1).fit_resample(x, y)[0]
    second = estimators.SMOTE(k_neighbors=4, random_state=1).fit_resample(x, y)[0]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("sampler", "told"),
    [
        (estimators.RandomUnderSampler(replacement=True), "replacement: found True"),
        (estimators.NearMiss(version=3, n_neighbors_ver3=5), "n_neighbors_ver3: found 5"),
        (estimators.SMOTENC([0], categorical_encoder=OneHotEncoder()), "categorical_encoder"),
        (estimators.KMeansSMOTE(kmeans_estimator=LogisticRegression()), "kmeans_estimator"),
        (estimators.SMOTE(k_neighbors=80), "^k_neighbors: 80 neighbours need more rows"),
    ],
)
def test_what_is_not_read_is_refused(sampler, told):
    with pytest.raises(ValueError, match=told):
        sampler.fit_resample(*data())


NUMERIC = ["SMOTE", "BorderlineSMOTE", "ADASYN", "KMeansSMOTE", "ROSE"]
NUMERIC += ["TomekLinks", "EditedNearestNeighbours", "NearMiss"]


@pytest.mark.parametrize("name", NUMERIC)
def test_messages_name_the_frame_s_columns(name):
    x, y = data()
    sampler = getattr(estimators, name)()
    frame = pd.DataFrame(x, columns=["x1", "x2", "x0"]).assign(
        a=np.full(300, 2**63, np.uint64), job=pd.Categorical(np.arange(300) % 2), x9=y > 5
    )
    with pytest.raises(UserError, match=r"^column 'a': 9223372036854775808 \(row 0\)"):
        sampler.fit_resample(frame[["x2", "x1", "a"]], y)
    if name != "ROSE":
        with pytest.raises(UserError, match=r"categorical features \(job, x9\)"):
            sampler.fit_resample(frame[["x2", "job", "x9"]], y)
    with pytest.raises(UserError, match=r"^column 'x0': 9223372036854775808"):
        sampler.fit_resample(frame[["a"]].to_numpy(), y)


def test_rows_in_danger_are_told_apart_as_finely_as_in_imbalanced_learn():
    x, y = data()
    x = x + 1.7e9
    ours, theirs = (
        package.BorderlineSMOTE(random_state=0) for package in (estimators, imblearn.over_sampling)
    )
    ours.fit_resample(x, y)
    theirs.fit_resample(x, y)
    np.testing.assert_array_equal(ours.in_danger_indices[1], theirs.in_danger_indices[1])


def test_each_class_has_its_shrinkage():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 2)), np.repeat([0, 1, 2], [60, 20, 10])
    sampler = estimators.RandomOverSampler(random_state=0, shrinkage={1: 0, 2: 1.0})
    x_new, y_new = sampler.fit_resample(x, y)
    assert Counter(y_new) == {0: 60, 1: 60, 2: 60}
    far = np.abs(x_new - x[sampler.sample_indices_]).sum(axis=1)
    assert (far[y_new == 1] == 0).all()
    assert (far[90:][y_new[90:] == 2] > 0).all()


def test_a_class_without_a_row_in_danger_stays_as_it_is():
    x, y = data()
    with pytest.warns(UserWarning, match="class 1 has no row in danger"):
        sampler = estimators.BorderlineSMOTE(random_state=0).fit_resample
        x_new, _ = sampler(x + 100 * y[:, None], y)
    assert len(x_new) == len(x)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: type(e).__name__)
def test_they_are_estimators(estimator):
    again = clone(estimator)
    assert repr(again) == repr(estimator)
    assert again.get_params() == estimator.get_params()
    pickle.loads(pickle.dumps(estimator))
    name = type(estimator).__name__
    assert getattr(tfx_imbalance, name) is type(estimator)
    assert type(estimator).__doc__
    if name != "ROSE":
        theirs = next(
            getattr(package, name)
            for package in (imblearn.over_sampling, imblearn.under_sampling, imblearn.combine)
            if hasattr(package, name)
        )
        assert issubclass(type(estimator), theirs)


def test_in_a_pipeline_and_a_grid_search():
    x, y = data()
    pipeline = make_pipeline(estimators.SMOTE(random_state=0), LogisticRegression())
    grid = {
        "smote__k_neighbors": [2, 5],
        "smote__sampling_strategy": [0.5, "auto"],
    }
    search = GridSearchCV(pipeline, grid, scoring="average_precision", cv=3, error_score="raise")
    search.fit(x, y)
    assert set(search.best_params_) == set(grid)
    assert search.best_score_ > 0.5
    assert search.best_estimator_[0].n_features_in_ == 3


@pytest.mark.parametrize("name", ["RandomOverSampler", "RandomUnderSampler"])
def test_a_grid_search_over_a_frame_with_categories_and_gaps(name):
    x, y = data()
    gaps = np.arange(300) % 11 == 0
    frame = pd.DataFrame(
        {
            "number": np.where(gaps, np.nan, x[:, 0]),
            "count": pd.array([None if gap else i % 9 for i, gap in enumerate(gaps)], "Int64"),
            "town": pd.Categorical(np.where(gaps, None, np.where(x[:, 1] > 0, "A", "B"))),
            "job": np.where(gaps, None, "cook"),
        },
        index=np.arange(300)[::-1],
    )
    learner = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)
    encoder = make_column_transformer(
        (OrdinalEncoder(), ["town", "job"]), ("passthrough", ["number"])
    )
    pipeline = Pipeline(
        [
            ("sampler", getattr(estimators, name)(random_state=0)),
            ("codes", encoder),
            ("model", learner),
        ]
    )
    grid = {"sampler__sampling_strategy": [0.5, "auto"], "sampler__random_state": [0, 1]}
    search = GridSearchCV(pipeline, grid, scoring="average_precision", cv=3, error_score="raise")
    search.fit(frame, pd.Series(y, frame.index))
    assert search.best_score_ > 0.3
    chosen = search.best_estimator_.named_steps["sampler"]
    assert chosen.get_params()["random_state"] == search.best_params_["sampler__random_state"]
    x_new, y_new = chosen.fit_resample(frame, y)
    rows = chosen.sample_indices_
    pd.testing.assert_frame_equal(
        x_new.reset_index(drop=True), frame.iloc[rows].reset_index(drop=True)
    )
    np.testing.assert_array_equal(y_new, y[rows])


@pytest.mark.parametrize(
    ("sampler", "grid"),
    [
        (estimators.ROSE(), {"shrinkage": [0.1, 1.0]}),
        (estimators.ADASYN(), {"n_neighbors": [3, 5]}),
        (estimators.BorderlineSMOTE(), {"kind": ["borderline-1", "borderline-2"]}),
        (estimators.KMeansSMOTE(cluster_balance_threshold=0.1), {"kmeans_estimator": [1, 2]}),
        (estimators.NearMiss(), {"version": [1, 2, 3]}),
        (estimators.EditedNearestNeighbours(), {"kind_sel": ["all", "mode"]}),
        (estimators.SMOTEENN(smote=estimators.SMOTE()), {"smote__k_neighbors": [2, 4]}),
        (estimators.SMOTETomek(), {"sampling_strategy": ["auto", 0.5]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_sampler_s_parameters_may_be_searched(sampler, grid):
    x, y = data()
    pipeline = Pipeline([("sampler", sampler), ("model", LogisticRegression())])
    named = {f"sampler__{name}": values for name, values in grid.items()}
    if "random_state" in sampler.get_params():
        named["sampler__random_state"] = [0]
    search = GridSearchCV(pipeline, named, scoring="average_precision", cv=3, error_score="raise")
    search.fit(pd.DataFrame(x, columns=["a", "b", "c"]), np.where(y, "yes", "no") == "yes")
    for name, value in search.best_params_.items():
        assert search.best_estimator_.get_params()[name] == value
    assert repr(clone(sampler)) == repr(sampler)


def test_importing_the_package_loads_none_of_them():
    assert set(estimators.__all__) <= set(dir(tfx_imbalance))
    offered = [getattr(tfx_imbalance, name) for name in tfx_imbalance.__all__]
    samplers = {value.__name__ for value in offered if hasattr(value, "fit_resample")}
    assert samplers == set(estimators.__all__)


@pytest.mark.slow
def test_the_tests_of_imbalanced_learn_that_fail_are_those_that_the_docs_list():
    outcomes = run()
    assert len(outcomes.passed) + len(outcomes.failed) == 129
    assert len(outcomes.passed) >= 95
    listed = set()
    for tests, _, _ in table("tests that fail"):
        listed |= set(re.findall(r"`([^`]+)`", tests))
    assert {re.sub(r"\[.*", "", name) for name in outcomes.failed} == listed
    page = re.sub(r"\s+", " ", PAGE)
    assert f"Of its 129 tests of these samplers {len(outcomes.passed)} pass unchanged" in page


def table(head):
    lines = PAGE.split(f"| {head} |", 1)[1].splitlines()[2:]
    rows = [line for line in lines[: lines.index("")] if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_every_object_stands_in_the_docs():
    told = [re.findall(r"`(\w+)", cells[0]) for cells in table("object")]
    assert sorted(name for names in told for name in names) == sorted(estimators.__all__)
