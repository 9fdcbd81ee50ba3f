from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from imblearn.ensemble import (
    BalancedBaggingClassifier,
    BalancedRandomForestClassifier,
    EasyEnsembleClassifier,
)
from scipy.special import softmax
from sklearn.ensemble import AdaBoostClassifier
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

from tfx_imbalance.components import progress
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, columns, learner
from tfx_imbalance.components.trainer.learners.ensembles import (
    committee,
    data,
    members,
    self_paced_ensemble,
    smote_boost,
)
from tfx_imbalance.components.trainer.learners.ensembles.boost import (
    ada_boost,
    samme_leaves,
    stopped,
)
from tfx_imbalance.components.trainer.learners.ensembles.subsets import balanced_subsets
from tfx_imbalance.components.trainer.params import ENSEMBLES, TrainerParams

FEATURES = (Feature("a", 1), Feature("b", 1), Feature("c", 1, categories=3, lowest=-1))
NUMBERS = FEATURES[:2]
CATEGORIES = (replace(FEATURES[2], name="c"), Feature("d", 1, categories=100))


def rows(n=400, seed=0, classes=2, share=0.15) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int32) * rng.integers(1, classes, n, dtype=np.int32)
    numbers = rng.normal(size=(n, 2)) + np.stack([labels, labels % 2], 1)
    categories = ((labels + rng.integers(0, 2, n)) % 3).astype(np.int32)[:, None]
    return Rows(numbers.astype(np.float32), categories, labels, np.ones(n, np.float32))


def task(name, log_dir="", classes=2, seed=3, class_weights=None, **ensemble) -> Task:
    ensemble.setdefault("members", 5)
    params = TrainerParams(learner=name, label="y", seed=seed, ensemble=ensemble)
    names = [f"class {k}" for k in range(classes)]
    weights = np.ones(classes) if class_weights is None else np.array(class_weights)
    return Task(FEATURES, names, weights, params, visible_devices("off"), str(log_dir))


def fit(train, this):
    return learner(this.params.learner)(train, rows(60, 9, len(this.classes)), this)


def scores(fitted, test: Rows) -> np.ndarray:
    return np.asarray(fitted.scorer(members.by_name(test, FEATURES)))


def probabilities(fitted, test: Rows) -> np.ndarray:
    return softmax(scores(fitted, test).astype(np.float64), axis=1)


def saved(scorer, directory):
    """The scorer after a SavedModel."""
    module = tf.Module()
    module.scorer = scorer
    spec = {
        f.name: tf.TensorSpec([None, f.width], tf.int64 if f.categories else tf.float32)
        for f in FEATURES
    }
    module.serve = tf.function(lambda named: scorer(named), input_signature=[spec])
    tf.saved_model.save(module, str(directory))
    loaded = tf.saved_model.load(str(directory))
    return lambda named: loaded.serve(named)


def x_of(data_rows: Rows) -> np.ndarray:
    return columns.matrix(data_rows, FEATURES)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_balanced_random_forest_is_imbalanced_learns(tmp_path, classes):
    train, test = rows(classes=classes), rows(100, 1, classes)
    fitted = fit(train, task("balanced_random_forest", classes=classes, members=20, max_depth=6))
    oracle = BalancedRandomForestClassifier(
        20, max_depth=6, sampling_strategy="all", replacement=True, bootstrap=False, random_state=3
    ).fit(x_of(train), train.labels)
    expected = oracle.predict_proba(x_of(test))
    np.testing.assert_allclose(probabilities(fitted, test), expected, atol=1e-6)
    loaded = saved(fitted.scorer, tmp_path)(members.by_name(test, FEATURES))
    np.testing.assert_allclose(softmax(loaded, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("depth", [1, 3])
def test_ada_boost_is_the_librarys(classes, depth, tmp_path):
    train, test = rows(classes=classes), rows(100, 1, classes)
    weights = np.linspace(0.5, 2, len(train)).astype(np.float32)
    train = replace(train, weights=weights)
    this = task("ada_boost", classes=classes, members=12, learning_rate=0.7, max_depth=depth)
    fitted = fit(train, this)
    model = ada_boost(this.params.ensemble, 12, 1, 3)
    assert isinstance(model, AdaBoostClassifier)
    model.fit(x_of(train), train.labels, weights.astype(np.float64) / weights.mean())
    expected = model.predict_proba(x_of(test))
    np.testing.assert_allclose(probabilities(fitted, test), expected, atol=1e-6)
    loaded = saved(fitted.scorer, tmp_path)(members.by_name(test, FEATURES))
    np.testing.assert_allclose(softmax(loaded, axis=1), expected, atol=1e-6)


def test_ada_boosts_first_weights_are_class_weight_times_sample_weight():
    train = rows()
    heavy = replace(train, weights=np.where(train.labels == 1, 4.0, 1.0).astype(np.float32))
    by_class = fit(train, task("ada_boost", class_weights=(1.0, 4.0)))
    by_row = fit(heavy, task("ada_boost"))
    np.testing.assert_array_equal(scores(by_class, train), scores(by_row, train))
    np.testing.assert_allclose(by_class.effect.factors, [1, 4])
    np.testing.assert_allclose(by_row.effect.factors, [1, 1])


@pytest.mark.parametrize("combine", ["average", "vote"])
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("balanced_bagging", lambda: BalancedBaggingClassifier(n_estimators=6, random_state=0)),
        ("easy_ensemble", lambda: EasyEnsembleClassifier(n_estimators=6, random_state=0)),
    ],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_members_of_imbalanced_learns_samples_are_its_members(
    name, oracle, combine, classes, tmp_path
):
    train, test = rows(classes=classes), rows(100, 1, classes)
    stumps = {"max_depth": 1} if name == "easy_ensemble" else {}  # the library's default
    this = task(name, classes=classes, combine=combine, **stumps)
    model = oracle().fit(x_of(train), train.labels)
    subsets = [
        sample[pipeline[0].sample_indices_]
        for sample, pipeline in zip(model.estimators_samples_, model.estimators_, strict=True)
    ]
    seeds = [pipeline[1].random_state for pipeline in model.estimators_]
    trained = members.train_all(data.prepared(train, this), subsets, seeds, test, this)
    scorer = committee.committee(trained, this)
    expected = model.predict_proba(x_of(test))
    if combine == "vote":
        votes = np.stack([p.predict(x_of(test)) for p in model.estimators_], axis=1)
        expected = (votes[:, :, None] == np.arange(classes)).mean(axis=1)
    given = members.by_name(test, FEATURES)
    np.testing.assert_allclose(softmax(scorer(given), axis=1), expected, atol=1e-6)
    np.testing.assert_allclose(softmax(saved(scorer, tmp_path)(given), axis=1), expected, atol=1e-6)


def spe_by_hand(train: Rows, n: int, bins: int, seeds: list[int], draws) -> np.ndarray:
    """Mean probability of the positive class on train: two classes, the second one smaller."""
    x, positive = x_of(train), train.labels == 1
    minority, majority = np.flatnonzero(positive), np.flatnonzero(~positive)
    fitted = []
    for i in range(n):
        if i == 0:
            chosen = draws(0, None)
        else:
            f = np.mean([t.predict_proba(x[majority])[:, 1] for t in fitted], axis=0)
            alpha = np.tan(i * np.pi / (2 * (n - 1)))
            in_bin = [
                [r for r, h in zip(majority, f, strict=True) if min(int(h * bins), bins - 1) == b]
                for b in range(bins)
            ]
            mean = [
                np.mean([f[np.searchsorted(majority, r)] for r in b]) if b else None for b in in_bin
            ]
            p = np.array([0 if m is None else 1 / (m + alpha) for m in mean])
            quota = p / p.sum() * len(minority)
            chosen = draws(i, (in_bin, quota))
        index = np.sort(np.concatenate([minority, chosen]))
        tree = DecisionTreeClassifier(max_depth=3, random_state=seeds[i])
        fitted.append(tree.fit(x[index], train.labels[index]))
    return np.mean([t.predict_proba(x)[:, 1] for t in fitted], axis=0)


def test_a_self_paced_ensemble_is_the_papers(monkeypatch):
    train = rows(300)
    this = task("self_paced_ensemble", max_depth=3, bins=4)
    taken = []
    one = members.train_one

    def recorded(all_rows, index, *rest):
        taken.append(index[train.labels[index] == 0])
        return one(all_rows, index, *rest)

    monkeypatch.setattr(self_paced_ensemble, "train_one", recorded)
    fitted = fit(train, this)
    n_minority = int(train.labels.sum())

    def draws(i, expected):
        assert len(taken[i]) == n_minority == len(set(taken[i]))
        if expected:
            in_bin, quota = expected
            sizes = np.array(list(map(len, in_bin)))
            given = np.array([np.isin(taken[i], b).sum() for b in in_bin])
            assert (given <= sizes).all()
            if (quota <= sizes).all():
                assert (np.abs(given - quota) < 1).all()
            else:
                assert (given[quota > sizes] == sizes[quota > sizes]).all()
        return taken[i]

    seeds = data.seeds(this, 5)
    expected = spe_by_hand(train, 5, 4, seeds, draws)
    np.testing.assert_allclose(probabilities(fitted, train)[:, 1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "sizes", "n", "expected"),
    [
        ([1.0, 1.0], [100, 100], 10, [5, 5]),
        ([3.0, 1.0], [100, 100], 8, [6, 2]),
        ([3.0, 1.0], [2, 100], 8, [2, 6]),
        ([3.0, 0.0, 1.0], [100, 0, 1], 8, [7, 0, 1]),
        ([1e-17, 1e-17, 1e-17], [9, 1, 9], 10, [5, 1, 4]),
        ([8.0, 4.0, 1.0], [3, 2, 20], 10, [3, 2, 5]),
    ],
)
def test_a_bin_gives_in_proportion_what_it_can(weights, sizes, n, expected):
    got = self_paced_ensemble.shares(np.array(weights), np.array(sizes), n)
    np.testing.assert_array_equal(got, expected)


def m2_by_hand(x, labels, k, seen, rounds, depth, seeds):
    """AdaBoost.M2 row by row, of some rows and added ones in each round; scores on x."""
    n = len(x)
    d = {(i, y): 1 / (n * (k - 1)) for i in range(n) for y in range(k) if y != labels[i]}
    total = np.zeros((n, k))
    for t in range(rounds):
        w = np.array([sum(d[i, y] for y in range(k) if y != labels[i]) for i in range(n)])
        index, new_x, new_y = seen[t]
        tree = DecisionTreeClassifier(max_depth=depth, random_state=seeds[t])
        tree.fit(
            np.concatenate([x[index], new_x]),
            np.concatenate([labels[index], new_y]),
            np.concatenate([w[index] * n, np.ones(len(new_y))]),
        )
        h = tree.predict_proba(x)
        loss = sum(p * (1 - h[i, labels[i]] + h[i, y]) for (i, y), p in d.items()) / 2
        beta = loss / (1 - loss)
        total += np.log(1 / beta) * h
        d = {(i, y): p * beta ** ((1 + h[i, labels[i]] - h[i, y]) / 2) for (i, y), p in d.items()}
        z = sum(d.values())
        d = {key: p / z for key, p in d.items()}
    return total


@pytest.mark.parametrize("classes", [2, 3])
def test_smote_boost_is_ada_boost_m2_of_rows_and_synthetic_ones(classes):
    train = rows(120, classes=classes, share=0.3)
    this = task("smote_boost", classes=classes, max_depth=2)
    prepared = data.prepared(train, this)
    new = smote_boost.wanted(prepared, this)
    made = list(smote_boost.smote_rows(prepared, new, 5, this))
    every = np.arange(len(train))
    seen = [(every, x_of(synthetic), synthetic.labels) for synthetic, _ in made]
    expected = m2_by_hand(x_of(train), train.labels, classes, seen, 5, 2, data.seeds(this, 5))
    np.testing.assert_allclose(scores(fit(train, this), train), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_rus_boost_is_ada_boost_m2_of_balanced_samples(classes):
    train = rows(120, classes=classes, share=0.3)
    this = task("rus_boost", classes=classes, max_depth=2)
    x, seed = x_of(train), this.params.seed
    drawn = balanced_subsets(train.labels, classes, 5, seed, disjoint=False, replace=False)
    seen = [(index, x[:0], train.labels[:0]) for index in drawn]
    for index in drawn:
        assert np.ptp(np.bincount(train.labels[index])) == 0
    expected = m2_by_hand(x, train.labels, classes, seen, 5, 2, data.seeds(this, 5))
    np.testing.assert_allclose(scores(fit(train, this), train), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "numbers", "categories"), [(FEATURES, 2, 1), (NUMBERS, 2, 0), (CATEGORIES, 0, 2)]
)
def test_synthetic_rows_lie_between_rows_of_their_class_and_differ_by_round(
    features, numbers, categories
):
    base = rows(200)
    wide = np.repeat(base.categories, 2, axis=1)[:, :categories]
    train = replace(base, numbers=base.numbers[:, :numbers], categories=wide)
    this = replace(task("smote_boost", k_neighbors=3), features=features)
    prepared = data.prepared(train, this)
    (first, bases), (second, _) = smote_boost.smote_rows(prepared, np.array([0, 70]), 2, this)
    assert len(first) == len(bases) == 70 and (first.labels == 1).all()
    assert (train.labels[bases] == 1).all()
    if numbers:
        assert not np.array_equal(first.numbers, second.numbers)
        own = train.numbers[train.labels == 1]
        assert (first.numbers >= own.min(axis=0)).all() and (first.numbers <= own.max(axis=0)).all()
        # On a line from the base to one of its 3 nearest (of numbers alone: by plain distance).
        if not categories:
            for point, start in zip(first.numbers, train.numbers[bases], strict=True):
                near = own[np.argsort(((own - start) ** 2).sum(axis=1))[1:4]]
                off = [np.cross(end - start, point - start) for end in near]
                assert np.abs(off).min() < 1e-5
    if categories:
        own = set(map(tuple, train.categories[train.labels == 1]))
        assert {int(v) for v in first.categories.ravel()} <= {int(v) for t in own for v in t}
    assert fit_any(train, this) == (len(train), 2)


def fit_any(train, this):
    fitted = learner(this.params.learner)(train, train, this)
    return fitted.scorer(members.by_name(train, this.features)).shape


def test_the_synthetic_rows_of_a_round_are_smote_rate_times_the_class_up_to_the_largest():
    train = rows(400, classes=3)
    counts = np.bincount(train.labels)
    for rate, expected in ((0.5, np.rint(counts * 0.5)), (1000, counts.max() - counts)):
        this = task("smote_boost", classes=3, smote_rate=rate)
        got = smote_boost.wanted(data.prepared(train, this), this)
        np.testing.assert_array_equal(got, np.where(counts < counts.max(), expected, 0))
    effect = fit(train, task("smote_boost", classes=3, smote_rate=0.5, members=2)).effect
    np.testing.assert_allclose(effect.factors, [1, *(1 + np.rint(counts[1:] * 0.5) / counts[1:])])


@pytest.mark.parametrize("name", sorted(set(ENSEMBLES) - {"ada_boost", "smote_boost"}))
def test_the_effect_is_that_of_balanced_samples(name):
    train = rows(classes=3)
    effect = fit(train, task(name, classes=3, members=2)).effect
    counts = np.bincount(train.labels)
    assert effect.kind == "approximate"
    np.testing.assert_allclose(effect.factors * counts, counts.min())


@pytest.mark.parametrize("name", ENSEMBLES)
def test_one_seed_one_model_and_rows_of_no_weight_are_left_out(name):
    train, test = rows(classes=3), rows(100, 1, 3)
    weights = np.linspace(0.5, 2, len(train)).astype(np.float32)
    weights[::3] = 0
    weighted = replace(train, weights=weights)
    kept = weighted.take(np.flatnonzero(weights))
    one, two, less, other = (
        scores(fit(given, task(name, classes=3, seed=seed)), test)
        for given, seed in ((weighted, 5), (weighted, 5), (kept, 5), (weighted, 6))
    )
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, less)
    assert np.isfinite(one).all()
    if name != "ada_boost":  # whose trees draw nothing here
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_sample_weights_count(name):
    train, test = rows(), rows(100, 1)
    this = task(name, members=20, max_depth=2)
    plain = probabilities(fit(train, this), test)
    heavy = replace(train, weights=np.where(train.labels == 1, 20.0, 1.0).astype(np.float32))
    lifted = probabilities(fit(heavy, this), test)
    assert lifted[:, 1].mean() > plain[:, 1].mean()


@pytest.mark.parametrize("name", ENSEMBLES)
def test_scores_rank_better_than_chance_and_alone_as_in_a_batch(name):
    train, test = rows(1000), rows(500, 1)
    fitted = fit(train, task(name, members=10))
    got = scores(fitted, test)
    assert average_precision_score(test.labels, got[:, 1] - got[:, 0]) > 2 * test.labels.mean()
    alone = scores(fitted, test.take(np.array([7])))
    np.testing.assert_allclose(alone, got[7:8], rtol=1e-6)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_a_class_without_rows_is_an_error(name):
    with pytest.raises(UserError, match="no row of class 'class 2'"):
        fit(rows(), task(name, classes=3))


@pytest.mark.parametrize("name", sorted(set(ENSEMBLES) - {"smote_boost"}))
def test_a_class_may_have_one_row(name):
    train = rows(60, share=0.0)
    train.labels[4] = 1
    assert np.isfinite(scores(fit(train, task(name)), train)).all()


def test_smote_needs_two_rows_and_warns_of_few():
    train = rows(60, share=0.0)
    train.labels[4] = 1
    with pytest.raises(UserError, match=r"found one row of class 'class 1'.*rus_boost"):
        fit(train, task("smote_boost"))
    train.labels[5] = 1
    said = []
    with progress.shown_by(said.append):
        fit(train, task("smote_boost"))
    assert any("has 2 rows" in line and "1 neighbours" in line for line in said)


@pytest.mark.parametrize("name", ["ada_boost", "rus_boost", "smote_boost", "easy_ensemble"])
def test_features_that_tell_nothing_are_an_error(name):
    labels = np.tile(np.array([0, 1], np.int32), 64)
    train = Rows(np.zeros((128, 2), np.float32), labels[:, None] * 0, labels, np.ones(128))
    with pytest.raises(UserError, match=r"train\.ensemble\.max_depth: .*no better than chance"):
        fit(train, task(name))


@pytest.mark.parametrize("name", ["ada_boost", "rus_boost", "smote_boost"])
def test_a_perfect_tree_ends_boosting(name):
    train, said = rows(100, share=0.5), []
    train.numbers[:, 0] = train.labels
    with progress.shown_by(said.append):
        decided = scores(fit(train, task(name)), train).argmax(axis=1)
    np.testing.assert_array_equal(decided, train.labels)
    assert said[-1] == f"{name}: 1 tree instead of 5: the last one is right on all of train"


def test_boosting_tells_that_it_stops_at_chance():
    said = []
    with progress.shown_by(said.append):
        stopped(3, 5, 0.5, task("rus_boost"))
    assert "3 trees instead of 5: the next one is no better than chance" in said[-1]


def test_disjoint_subsets_make_other_members():
    train = rows()
    drawn, dealt = (
        scores(fit(train, task("balanced_bagging", subsets=how)), train)
        for how in ("bootstrap", "disjoint")
    )
    assert not np.array_equal(drawn, dealt)


@pytest.mark.parametrize(
    ("name", "combine"), [("balanced_bagging", "vote"), ("self_paced_ensemble", "average")]
)
def test_members_may_be_another_learner(name, combine, tmp_path):
    train, test = rows(120), rows(50, 1)
    this = task(name, tmp_path, members=2, member="mlp", combine=combine)
    small = {"hidden": (4,), "embedding_units": 2, "bins": 0, "epochs": 2}
    mlp = this.params.mlp.model_copy(update=small)
    this = replace(this, params=this.params.model_copy(update={"mlp": mlp}))
    fitted = fit(train, this)
    assert fitted.device is None
    given = members.by_name(test, FEATURES)
    each = softmax([m(given).numpy() for m in fitted.scorer.members], axis=2)
    assert not np.array_equal(each[0], each[1])
    if combine == "vote":
        each = np.eye(2)[each.argmax(axis=2)]
    np.testing.assert_allclose(probabilities(fitted, test), each.mean(axis=0), atol=1e-6)
    loaded = saved(fitted.scorer, tmp_path / "saved")(given)
    np.testing.assert_allclose(softmax(loaded, axis=1), each.mean(axis=0), atol=1e-6)


def test_samme_leaves_sum_to_the_decision_of_several_classes():
    train = rows(300, classes=4, share=0.6)
    this = task("ada_boost", classes=4, max_depth=2)
    model = ada_boost(this.params.ensemble, 8, 1, 0).fit(x_of(train), train.labels)
    total = sum(
        leaf[tree.apply(x_of(train))]
        for tree, leaf in zip(model.estimators_, samme_leaves(model), strict=True)
    )
    np.testing.assert_allclose(total * 3, model.decision_function(x_of(train)), atol=1e-12)
