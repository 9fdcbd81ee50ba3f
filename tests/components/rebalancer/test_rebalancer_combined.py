"""SMOTE with cleaning against imbalanced-learn's, given the same synthetic rows."""

import numpy as np
import pytest
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import EditedNearestNeighbours
from sklearn.datasets import load_breast_cancer

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.combined import SmoteEnn, SmoteTomek
from tfx_imbalance.components.rebalancer.samplers.smote import Smote
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("a", "b", "c")
TOMEK, ENN = SmoteTomek(), SmoteEnn()


class Given(SMOTE):
    """SMOTE whose synthetic rows are there already."""

    def fit_resample(self, X, y, **params):
        return X, y


def split_of(x, codes):
    x = np.asarray(x, np.float32)
    columns = {f"x{j}": column for j, column in enumerate(x.T)}
    rows = Rows(np.arange(len(x)), np.asarray(codes, np.int64), columns)
    return Split(rows.ordered(), CLASSES, Features(dict.fromkeys(columns, "float")), seed=1)


def random_split(seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, 300, p=[0.15, 0.6, 0.25])
    return split_of(rng.normal(size=(300, 3)) + 0.7 * codes[:, None], codes)


def cancer_split():
    x, codes = load_breast_cancer(return_X_y=True)
    return split_of((x - x.mean(axis=0)) / x.std(axis=0), codes)


def params_of(sampler, **more):
    return RebalanceParams(method=sampler.name, **more)


def oversampled(sampler, split, params):
    counts = np.bincount(split.rows.codes, minlength=len(CLASSES)).tolist()
    before = {name: n for name, n in zip(CLASSES, counts, strict=True) if n}
    after = sampler.targets(before, params)
    new = {CLASSES.index(name): after[name] - n for name, n in before.items() if after[name] > n}
    parts = [
        synthesise(sampler, split, source, 0, int(source.uses.sum()))[0]
        for source in sampler.sources(split, new, params)
    ]
    rows = Rows.concatenated([split.rows, *parts]).ordered()
    return Split(rows, split.classes, split.features, split.seed)


@pytest.mark.parametrize("make", [random_split, cancer_split])
def test_smote_tomek_removes_what_imbalanced_learn_does(make):
    params = params_of(TOMEK)
    union = oversampled(TOMEK, make(), params)
    theirs = SMOTETomek(smote=Given())
    theirs.fit_resample(union.numeric.astype(np.float64), union.rows.codes)
    removed = TOMEK.clean(union, params)
    assert removed.any()
    np.testing.assert_array_equal(np.flatnonzero(~removed), theirs.tomek_.sample_indices_)


@pytest.mark.parametrize("make", [random_split, cancer_split])
@pytest.mark.parametrize("options", [{}, {"n_neighbors": 5, "kind_sel": "mode"}])
def test_smote_enn_removes_what_imbalanced_learn_does(make, options):
    params = params_of(ENN, **options)
    union = oversampled(ENN, make(), params)
    enn = EditedNearestNeighbours(sampling_strategy="all", **options) if options else None
    theirs = SMOTEENN(smote=Given(), enn=enn)
    theirs.fit_resample(union.numeric.astype(np.float64), union.rows.codes)
    removed = ENN.clean(union, params)
    assert removed.any()
    assert set(np.flatnonzero(~removed)) == set(theirs.enn_.sample_indices_)


@pytest.mark.parametrize("sampler", [TOMEK, ENN])
def test_rows_of_every_class_go_whatever_smote_was_asked(sampler):
    split = random_split(1)
    params = params_of(sampler, sampling_strategy={"a": 120})
    union = oversampled(sampler, split, params)
    assert np.bincount(union.rows.codes)[0] == 120
    gone = np.bincount(union.rows.codes[sampler.clean(union, params)], minlength=3)
    assert (gone > 0).all()


@pytest.mark.parametrize("sampler", [TOMEK, ENN])
def test_synthetic_rows_are_smotes(sampler):
    split, smote = random_split(2), Smote()
    counts = dict(zip(CLASSES, np.bincount(split.rows.codes).tolist(), strict=True))
    params = params_of(sampler, sampling_strategy="not majority")
    plain = RebalanceParams(method="smote", sampling_strategy="not majority")
    assert sampler.targets(counts, params) == smote.targets(counts, plain)
    mine, its = (
        made.sources(split, {0: 31}, given)[0]
        for made, given in ((sampler, params), (smote, plain))
    )
    np.testing.assert_array_equal(mine.bases, its.bases)
    np.testing.assert_array_equal(mine.uses, its.uses)
    np.testing.assert_array_equal(
        sampler.neighbors(split, mine, mine.bases), smote.neighbors(split, its, its.bases)
    )


@pytest.mark.parametrize("sampler", [TOMEK, ENN])
def test_order_of_the_rows_does_not_matter(sampler):
    split = random_split(3)
    params = params_of(sampler)
    union = oversampled(sampler, split, params)
    shuffled = union.rows.take(np.random.default_rng(0).permutation(len(union))).ordered()
    again = Split(shuffled, union.classes, union.features, union.seed)
    np.testing.assert_array_equal(sampler.clean(union, params), sampler.clean(again, params))


@pytest.mark.parametrize(
    ("sampler", "instead"), [(TOMEK, "use smote"), (ENN, "kind_sel mode or a lower n_neighbors")]
)
def test_class_that_would_be_lost_is_named(sampler, instead):
    split = split_of([[0], [0.1], [10], [10.2], [10.5], [11]], [0, 1, 0, 0, 0, 0])
    with pytest.raises(
        UserError,
        match=f"^rebalance.method: '{sampler.name}' would remove all 1 rows of class b, ",
    ) as error:
        sampler.clean(split, params_of(sampler))
    assert instead in str(error.value)


def test_more_neighbours_than_rows_after_smote_are_refused():
    features, counts = Features({"x": "float"}), {"a": 10, "b": 7}
    ENN.check(counts, features, params_of(ENN, n_neighbors=19))
    with pytest.raises(UserError, match=r"^rebalance.n_neighbors: 20 .* found 20; "):
        ENN.check(counts, features, params_of(ENN, n_neighbors=20))
    with pytest.raises(UserError, match=r"^rebalance.method: 'smote_tomek'"):
        TOMEK.check(counts, Features({"x": "float"}, ("job",)), params_of(TOMEK))
