"""Rebalancing within a fold's training part: nothing of the fold that is judged on gets in."""

import numpy as np
import pytest

from tests.components.tuner.conftest import CLASSES, FEATURES, make_rows
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.tuner.folds import stratified
from tfx_imbalance.components.tuner.parts import NO_ROW, shrunk, training_part

TRAIN = make_rows(400, 4)
FOLD = stratified(np.arange(400), TRAIN.labels, CLASSES, 5, 0)
TELLING = ("rose", "smote_nc", "smote_enn", "smote_tomek", "adasyn", "borderline_smote_1")
MIXED = ("none", "over", "under", "both", "rose", "smote_nc", "downsample_upweight", "imblearn")
"""Methods that take numbers and categories."""
SILENT = ("over", "under", "both", "tomek_links", "near_miss_1", "downsample_upweight")


def part_of(fold: int, **options):
    chosen = np.flatnonzero(fold != FOLD)
    features = FEATURES
    rows = TRAIN
    if options["method"] not in MIXED:
        features = tuple(f for f in FEATURES if not f.categories)
        rows = TRAIN.take(np.arange(400))
        rows = type(rows)(rows.numbers, rows.categories[:, :0], rows.labels, rows.weights)
    return training_part(rows, chosen, features, CLASSES, RebalanceParams(**options)), chosen


@pytest.mark.parametrize("fold", [0, 3])
@pytest.mark.parametrize("method", ["smote", "kmeans_smote", *TELLING])
def test_no_synthetic_row_has_a_parent_in_the_fold_that_is_judged_on(method, fold):
    more = {"cluster_balance_threshold": 0.05} if method == "kmeans_smote" else {}
    part, _ = part_of(fold, method=method, seed=3, **more)
    synthetic = part.index == NO_ROW
    assert synthetic.sum() > 20
    parents = np.concatenate([part.base[synthetic], part.neighbor[synthetic]])
    assert (parents >= 0).all()
    assert not (FOLD[parents] == fold).any()
    assert (FOLD[part.index[~synthetic]] != fold).all()
    assert (TRAIN.labels[part.base[synthetic]] == part.rows.labels[synthetic]).all()


@pytest.mark.parametrize("method", SILENT)
def test_rows_that_are_kept_are_those_of_the_training_part(method):
    part, chosen = part_of(2, method=method)
    assert set(part.index) <= set(chosen.tolist())
    np.testing.assert_array_equal(part.rows.numbers, TRAIN.numbers[part.index])
    if method in MIXED:
        np.testing.assert_array_equal(part.rows.categories, TRAIN.categories[part.index])
    np.testing.assert_array_equal(part.rows.labels, TRAIN.labels[part.index])


def test_a_smote_row_lies_between_its_parents_and_has_its_base_s_weight():
    part, _ = part_of(1, method="smote")
    made = part.index == NO_ROW
    a, b = TRAIN.numbers[part.base[made]], TRAIN.numbers[part.neighbor[made]]
    x = part.rows.numbers[made]
    gap = ((x - a) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
    assert ((gap > -1e-5) & (gap < 1 + 1e-5)).all()
    np.testing.assert_allclose(x, a + gap[:, None] * (b - a), atol=1e-5)
    np.testing.assert_array_equal(part.rows.weights[made], TRAIN.weights[part.base[made]])


@pytest.mark.parametrize("method", ["none", "under", "smote_nc"])
def test_counts_are_those_that_the_learner_sees(method):
    part, _ = part_of(0, method=method)
    assert list(part.counts.values()) == np.bincount(part.rows.labels).tolist()


def test_rows_that_stand_for_others_count_for_them():
    part, chosen = part_of(0, method="downsample_upweight")
    before = np.bincount(TRAIN.labels[chosen])
    assert list(part.counts.values()) == pytest.approx(before, abs=1)
    heavy = part.rows.weights / TRAIN.weights[part.index]
    assert heavy[part.rows.labels == 0].min() > 1.5
    assert (heavy[part.rows.labels == 1] == 1).all()


def test_a_count_in_a_strategy_shrinks_with_its_class():
    params = RebalanceParams(method="over", sampling_strategy={"yes": 200, "no": 100})
    assert shrunk(params, {"yes": 0.8, "no": 0.75}).sampling_strategy == {"yes": 160, "no": 75}
    part, chosen = part_of(0, method="over", sampling_strategy={"yes": 300})
    yes = np.bincount(TRAIN.labels)[1]
    there = np.bincount(TRAIN.labels[chosen])[1]
    assert part.counts["yes"] == round(300 * there / yes)


def test_a_sampler_of_imbalanced_learn_makes_rows_of_the_class_s_mean_weight():
    part, chosen = part_of(0, method="imblearn", sampler="imblearn.over_sampling.SMOTENC",
                           sampler_params={"categorical_features": ["job/0"]})  # fmt: skip
    made = part.index == NO_ROW
    assert made.sum() > 50
    yes = chosen[TRAIN.labels[chosen] == 1]
    np.testing.assert_allclose(part.rows.weights[made], TRAIN.weights[yes].mean(), rtol=1e-6)


def test_clipping_of_outliers_reaches_the_learner():
    rows = make_rows(300, 6)
    rows.numbers[5, 0] = 1e6
    outliers = {"method": "robust", "action": "clip"}
    params = RebalanceParams(outliers=outliers)
    part = training_part(rows, np.arange(200), FEATURES, CLASSES, params)
    assert part.rows.numbers.max() < 100
    assert len(part.rows) == 200


def test_it_repeats_exactly():
    one, other = part_of(4, method="smote_nc", seed=1)[0], part_of(4, method="smote_nc", seed=1)[0]
    np.testing.assert_array_equal(one.rows.numbers, other.rows.numbers)
    np.testing.assert_array_equal(one.base, other.base)
    third = part_of(4, method="smote_nc", seed=2)[0]
    assert (one.rows.numbers != third.rows.numbers).any()
