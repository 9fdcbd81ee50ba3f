import numpy as np
import pytest
import tensorflow as tf
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from tfx_imbalance.components.trainer.input import Feature, Rows, pack
from tfx_imbalance.components.trainer.learners.columns import MAX_ONE_HOT, Columns, matrix
from tfx_imbalance.components.trainer.learners.trees import Boosted, Trees, TreeScorer

TYPES = ["q", "q", "c", "c"]


def table(n: int, seed: int = 0, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers, one id below 5, one below 40; two classes."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 2))
    ids = np.stack([rng.integers(0, 5, n), rng.integers(0, 40, n)], 1)
    margin = numbers[:, 0] + (ids[:, 0] == 3) * 2 + np.sin(ids[:, 1]) * 2 - 2
    labels = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int)
    x = np.concatenate([numbers, ids], 1).astype(np.float32)
    x[rng.random(x.shape) < missing] = np.nan
    return x, labels


def as_matrix(x: np.ndarray, labels: np.ndarray | None = None) -> xgboost.DMatrix:
    return xgboost.DMatrix(x, labels, feature_types=TYPES, enable_categorical=True)


def booster(x, labels, rounds=20, **settings) -> xgboost.Booster:
    objective = {"objective": "binary:logistic"}
    if labels.max() > 1:
        objective = {"objective": "multi:softprob", "num_class": labels.max() + 1}
    settings = {**objective, "max_depth": 5, "nthread": 1, **settings}
    return xgboost.train(settings, as_matrix(x, labels), num_boost_round=rounds)


def margins(model: Boosted, x: np.ndarray) -> np.ndarray:
    scorer = tf.function(TreeScorer(model.trees, model.group).__call__, autograph=False)
    return scorer(tf.constant(x)).numpy()[:, :, 0] + model.intercept


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("classes", [2, 4])
def test_margins_are_xgboosts(missing, classes):
    x, labels = table(3000, 0, missing)
    if classes > 2:
        labels = labels + 2 * (x[:, 1] > 0)
    found = booster(x, labels)
    model = Boosted.of(found)
    assert model.trees.sets and len(model.trees.roots) == 20 * (1 if classes == 2 else 4)
    new = table(2000, 1, 0.2)[0]
    expected = found.predict(as_matrix(new), output_margin=True)
    np.testing.assert_allclose(
        margins(model, new), expected.reshape(len(new), -1), rtol=2e-6, atol=2e-6
    )


def test_ids_that_training_lacked_go_xgboosts_way():
    x, labels = table(2000, missing=0)
    found = booster(x[x[:, 3] < 30], labels[x[:, 3] < 30])
    new = x.copy()
    new[:, 3] = np.arange(len(new)) % 70
    expected = found.predict(as_matrix(new), output_margin=True)
    np.testing.assert_allclose(margins(Boosted.of(found), new)[:, 0], expected, atol=2e-6)


@pytest.mark.parametrize("base_score", [None, 0.5, 0.013])
def test_the_intercept_is_xgboosts(base_score):
    x, labels = table(500)
    given = {} if base_score is None else {"base_score": base_score}
    # A split needs more weight than there is: each tree is one leaf.
    found = booster(x, labels, 3, min_child_weight=1e9, **given)
    model = Boosted.of(found)
    expected = found.predict(as_matrix(x), output_margin=True)
    # Versions differ in how they round the logit of base_score, -4.33 for 0.013, under the leaves.
    np.testing.assert_allclose(margins(model, x)[:, 0], expected, rtol=3e-7, atol=5e-7)
    assert model.trees.depth == 0


def test_a_booster_of_one_round_of_many():
    x, labels = table(1000)
    found = booster(x, labels)[:7]
    expected = found.predict(as_matrix(x), output_margin=True)
    np.testing.assert_allclose(margins(Boosted.of(found), x)[:, 0], expected, atol=2e-6)


def test_sums_by_group_are_scikit_learns_leaves():
    x, labels = table(800, missing=0.1)
    fitted = [
        DecisionTreeClassifier(max_depth=depth, random_state=i).fit(x, labels)
        for i, depth in enumerate([None, 1, 3, None, 2, 4, None])
    ]
    values = [t.tree_.value[:, 0] for t in fitted]
    group = np.array([2, 0, 0, 1, 0, 1, 0])
    scorer = TreeScorer(Trees.of_sklearn([t.tree_ for t in fitted], values), group)
    new = table(500, 1)[0]
    found = scorer(tf.constant(new)).numpy()
    assert found.shape == (500, 3, 2)
    for k in range(3):
        expected = sum(values[i][fitted[i].apply(new)] for i in np.flatnonzero(group == k))
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@example(0.0, 0)
@given(st.floats(-1e30, 1e30), st.integers(-3, 3))
def test_scikit_learns_comparison_is_kept_at_each_float(cut, steps):
    tree = DecisionTreeClassifier(max_depth=1).fit([[0.0], [1.0]], [0, 1]).tree_

    class Moved:
        children_left, children_right = tree.children_left, tree.children_right
        feature, missing_go_to_left = tree.feature, tree.missing_go_to_left
        threshold = np.array([cut, -2.0, -2.0])

    x = np.float32(cut)
    for _ in range(abs(steps)):
        x = np.nextafter(x, np.float32(np.sign(steps) * np.inf))
    x = x if np.abs(x) >= np.finfo(np.float32).tiny else np.float32(0)  # as TensorFlow takes it
    scorer = TreeScorer(
        Trees.of_sklearn([Moved], [np.array([[0.0], [1.0], [2.0]])]), np.zeros(1, int)
    )
    expected = 1.0 if float(x) <= cut else 2.0
    assert scorer(tf.constant([[x]])).numpy().item() == expected


def test_infinite_values_are_large_and_small_ones():
    x = np.array([[0.0], [1.0], [np.nan], [np.nan]], np.float32)
    tree = DecisionTreeClassifier(max_depth=2).fit(x, [0, 1, 1, 1])
    scorer = TreeScorer(Trees.of_sklearn([tree.tree_], [tree.tree_.value[:, 0]]), np.zeros(1, int))
    found = scorer(tf.constant([[-np.inf], [np.inf], [np.nan]], tf.float32)).numpy()[:, 0, 1]
    np.testing.assert_array_equal(found, [0, 1, 1])


def test_a_wider_matrix_than_the_trees_read_and_no_rows():
    x, labels = table(300, missing=0)
    tree = DecisionTreeClassifier(max_depth=2).fit(x[:, :1], labels)
    scorer = TreeScorer(Trees.of_sklearn([tree.tree_], [tree.tree_.value[:, 0]]), np.zeros(1, int))
    np.testing.assert_allclose(
        scorer(tf.constant(x))[:, 0], tree.predict_proba(x[:, :1]), rtol=1e-6
    )
    assert scorer(tf.constant(x[:0])).shape == (0, 1, 2)


def test_one_row_and_a_saved_model_score_as_the_batch(tmp_path):
    x, labels = table(1000)
    model = Boosted.of(booster(x, labels))
    module = tf.Module()
    module.scorer = TreeScorer(model.trees, model.group)
    module.score = tf.function(
        module.scorer.__call__, input_signature=[tf.TensorSpec([None, 4])], autograph=False
    )
    together = module.scorer(tf.constant(x[:50])).numpy()
    tf.saved_model.save(module, str(tmp_path))
    kept = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(kept.score(tf.constant(x[:50])), together)
    alone = np.concatenate([kept.score(tf.constant(x[i : i + 1])) for i in range(50)])
    np.testing.assert_allclose(alone, together, rtol=1e-6, atol=1e-6)


FEATURES = (
    Feature("a", 2),
    Feature("b", 1, categories=3, lowest=-1),
    Feature("c", 2, categories=MAX_ONE_HOT + 1),
    Feature("d", 1),
    Feature("e", 1, categories=2),
    Feature("f", 1, categories=10_000),
)


def columns_of(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        f.name: rng.integers(f.lowest, f.lowest + f.categories, (n, f.width))
        if f.categories
        else rng.normal(size=(n, f.width)).astype(np.float32)
        for f in FEATURES
    }


def test_the_matrix_has_numbers_then_categories_and_its_twin_in_a_graph_is_equal():
    values = columns_of(40)
    numbers, categories = (t.numpy() for t in pack(values, FEATURES))
    rows = Rows(numbers, categories, np.zeros(40, np.int32), np.ones(40, np.float32))
    b, c, e, f = (values[k] - lowest for k, lowest in (("b", -1), ("c", 0), ("e", 0), ("f", 0)))
    one_hot = [values["a"], values["d"], b == np.arange(3), c, e == np.arange(2), f]
    ids = [values["a"], values["d"], b, c, e, f]
    for wanted, expected in ((True, one_hot), (False, ids)):
        found = matrix(rows, FEATURES, one_hot=wanted)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.concatenate(expected, 1).astype(np.float32))
        twin = tf.function(Columns(FEATURES, one_hot=wanted), autograph=False)
        np.testing.assert_array_equal(twin(pack(values, FEATURES)), found)


def test_xgboost_splits_ids_by_sets_but_for_two_or_very_many():
    columns = Columns(FEATURES, one_hot=False)
    assert columns.feature_types == ["q", "q", "q", "c", "c", "c", "q", "q"]
    assert len(columns.feature_types) == columns.width


@pytest.mark.parametrize("features", [FEATURES[:1], FEATURES[1:2]])
def test_numbers_alone_and_categories_alone(features):
    values = columns_of(5)
    packed = pack(values, features)
    rows = Rows(*(t.numpy() for t in packed), np.zeros(5, np.int32), np.ones(5, np.float32))
    np.testing.assert_array_equal(Columns(features)(packed), matrix(rows, features))
