"""What every learner must do; a new one is checked as soon as the registry knows it."""

import dataclasses
from functools import cache
from tempfile import mkdtemp

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import _HOME, Fitted, Task, learner
from tfx_imbalance.components.trainer.params import SELF_SAMPLING, TrainerParams

LEARNERS = sorted(_HOME)
FEATURES = (Feature("a", 2), Feature("b", 1, categories=4, lowest=-1), Feature("c", 1))
QUICK = {
    "mlp": {"hidden": (16,), "epochs": 4, "bins": 8},
    "boosted_trees": {"rounds": 15, "learning_rate": 0.3},
    "ensemble": {"members": 6},
    "autoencoder": {"epochs": 4, "hidden": (8,), "code": 2},
    "isolation_forest": {"trees": 30},
}
COUNTS_ROWS_OF_NO_WEIGHT = {"mlp"}
"""Learners for which such a row still has a place in a batch, or a value in a quantile."""


def rows(n: int, seed: int, classes: int = 2, shares: tuple[float, ...] = ()) -> Rows:
    """The first class is the most frequent; rows of the others lie far from it."""
    rng = np.random.default_rng(seed)
    rare = shares or (0.2,) * (classes - 1)
    labels = rng.choice(classes, n, p=[1 - sum(rare), *rare]).astype(np.int32)
    angle = 2 * np.pi * labels / max(classes - 1, 1)
    center = 3 * (labels > 0)[:, None] * np.stack([np.cos(angle), np.sin(angle), angle > 3], 1)
    numbers = (rng.normal(size=(n, 3)) + center).astype(np.float32)
    categories = (rng.integers(0, 2, n) + 2 * (labels > 0)).astype(np.int32)[:, None]
    return Rows(numbers, categories, labels, rng.integers(1, 4, n).astype(np.float32))


def task(name: str, classes: int = 2, seed: int = 5) -> Task:
    quick = {section: o for section, o in QUICK.items() if section in TrainerParams.model_fields}
    params = TrainerParams(label="y", learner=name, seed=seed, **quick)
    names = [f"class {k}" for k in range(classes)]
    return Task(FEATURES, names, np.ones(classes), params, visible_devices("off"), mkdtemp())


def fit(name: str, train: Rows, classes: int = 2) -> Fitted:
    return learner(name)(train, rows(150, 1, classes), task(name, classes))


@cache
def fitted(name: str, classes: int = 2) -> Fitted:
    return fit(name, rows(400, 0, classes), classes)


def by_name(data: Rows) -> dict[str, tf.Tensor]:
    return {
        "a": tf.constant(data.numbers[:, :2]),
        "b": tf.constant(data.categories.astype(np.int64) - 1),
        "c": tf.constant(data.numbers[:, 2:]),
    }


def scores(found: Fitted, data: Rows) -> np.ndarray:
    return np.asarray(found.scorer(by_name(data)))


@pytest.mark.parametrize("name", LEARNERS)
def test_scores_are_finite_and_rank_better_than_chance(name):
    test = rows(500, 2)
    raw = scores(fitted(name), test)
    assert raw.dtype == np.float32 and raw.shape == (500, 2) and np.isfinite(raw).all()
    p = softmax(raw, axis=1)[:, 1]
    assert average_precision_score(test.labels, p) > 3 * test.labels.mean()


@pytest.mark.parametrize("name", LEARNERS)
def test_of_three_classes_each_is_told_from_the_first(name):
    test = rows(500, 2, 3)
    raw = scores(fitted(name, 3), test)
    assert raw.shape == (500, 3) and np.isfinite(raw).all()
    p = softmax(raw, axis=1)
    for k in (1, 2):
        either = (test.labels == 0) | (test.labels == k)
        assert roc_auc_score(test.labels[either] == k, p[either, k]) > 0.75


@pytest.mark.parametrize("name", LEARNERS)
def test_one_seed_gives_one_model_and_leaves_the_rows_as_they_were(name):
    train, before = rows(400, 0), rows(400, 0)
    np.testing.assert_array_equal(
        scores(fit(name, train), rows(100, 2)), scores(fitted(name), rows(100, 2))
    )
    for f in dataclasses.fields(Rows):
        np.testing.assert_array_equal(getattr(train, f.name), getattr(before, f.name))


@pytest.mark.parametrize("name", [n for n in LEARNERS if n not in COUNTS_ROWS_OF_NO_WEIGHT])
def test_a_row_without_weight_is_a_row_left_out(name):
    train = rows(400, 0)
    keep = np.arange(400) % 4 > 0
    zero = dataclasses.replace(train, weights=train.weights * keep)
    first, second = fit(name, zero), fit(name, train.take(keep))
    np.testing.assert_array_equal(scores(first, train), scores(second, train))


@pytest.mark.parametrize("name", LEARNERS)
def test_weights_count(name):
    train = rows(400, 0)
    # Wrong labels, so that no learner is content with its first tree.
    train = dataclasses.replace(train, labels=np.where(np.arange(400) % 8, train.labels, 1))
    heavier = np.where(train.numbers[:, 0] > 0, 9, 1).astype(np.float32)
    heavy = dataclasses.replace(train, weights=heavier)
    assert not np.array_equal(*(scores(fit(name, t), train) for t in (train, heavy)))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_of_two_rows_is_learnt_from(name):
    train = rows(400, 0, 3)
    few = np.flatnonzero(train.labels == 2)[2:]
    found = fit(name, train.take(np.setdiff1d(np.arange(400), few)), 3)
    assert np.isfinite(scores(found, rows(100, 2, 3))).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_class_without_rows_is_refused_in_one_line_or_gets_a_score(name):
    train = rows(400, 0, 3)
    try:
        found = fit(name, train.take(train.labels < 2), 3)
    except UserError as error:
        text = str(error)
        assert "\n" not in text and "'class 2'" in text and name in text
    else:
        assert np.isfinite(scores(found, rows(100, 2, 3))).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_saved_model_scores_rows_one_by_one_as_in_a_batch(name, tmp_path):
    test, found = rows(20, 2), fitted(name)
    module = tf.Module()
    module.scorer = found.scorer
    spec = {
        f.name: tf.TensorSpec([None, f.width], tf.int64 if f.categories else tf.float32)
        for f in FEATURES
    }
    module.score = tf.function(found.scorer.__call__, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    graph = loaded.score.concrete_functions[0].graph.as_graph_def()
    functions = [n.op for f in graph.library.function for n in f.node_def]
    assert not {op for op in [*functions, *(n.op for n in graph.node)] if "PyFunc" in op}
    together = scores(found, test)
    np.testing.assert_allclose(loaded.score(by_name(test)), together, rtol=1e-5, atol=1e-5)
    alone = [loaded.score(by_name(test.take(slice(i, i + 1)))) for i in range(20)]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LEARNERS)
def test_it_says_what_it_did_to_the_class_prior(name):
    effect = fitted(name).effect
    if effect is None:
        assert name not in SELF_SAMPLING
        return
    assert effect.factors.shape == (2,) and (effect.factors > 0).all()
    assert effect.kind in ("none", "prior_only", "approximate")
    if name in SELF_SAMPLING:
        assert effect.factors[1] > effect.factors[0]


@pytest.mark.parametrize("name", LEARNERS)
def test_the_best_epoch_is_one_of_the_history(name):
    found = fitted(name)
    epochs = [e.epoch for e in found.history]
    assert epochs == sorted(set(epochs))
    assert found.best_epoch in epochs if epochs else found.best_epoch is None
