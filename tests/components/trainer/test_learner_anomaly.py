import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, learner
from tfx_imbalance.components.trainer.learners.anomaly import Usual
from tfx_imbalance.components.trainer.learners.isolation_forest import Isolation, path_length
from tfx_imbalance.components.trainer.params import ANOMALY, TrainerParams

FEATURES = (Feature("a", 3), Feature("c", 1, categories=4))
FAST = {"autoencoder": {"epochs": 4, "hidden": (8,), "code": 2}, "isolation_forest": {"trees": 40}}


def rows(n: int, seed: int = 0, classes: int = 2) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.1).astype(np.int32) * rng.integers(1, classes, n, dtype=np.int32)
    numbers = (rng.normal(size=(n, 3)) * (1 + 3 * (labels[:, None] > 0))).astype(np.float32)
    categories = np.where(labels > 0, 3, rng.integers(0, 3, n)).astype(np.int32)[:, None]
    return Rows(numbers, categories, labels, np.ones(n, np.float32))


def task(log_dir, name: str, classes: int = 2) -> Task:
    params = TrainerParams(label="y", learner=name, **{name: FAST[name]})
    names = [f"class {k}" for k in range(classes)]
    return Task(FEATURES, names, np.ones(classes), params, visible_devices(), str(log_dir))


def scores(fitted, data: Rows) -> np.ndarray:
    return np.asarray(fitted.scorer({"a": data.numbers, "c": data.categories}))


@pytest.mark.parametrize("name", sorted(ANOMALY))
def test_rows_unlike_the_largest_class_score_higher(tmp_path, name):
    fitted = learner(name)(rows(1500), rows(300, 1), task(tmp_path, name))
    test = rows(1000, 2)
    raw = scores(fitted, test)
    assert roc_auc_score(test.labels > 0, raw[:, 1] - raw[:, 0]) > 0.9
    assert fitted.effect.kind == "approximate" and (fitted.effect.factors == 1).all()


@pytest.mark.parametrize("name", sorted(ANOMALY))
def test_labels_of_the_other_classes_are_not_learnt_from(tmp_path, name):
    train, val = rows(600), rows(200, 1)
    odd = train.labels > 0
    other = Rows(
        np.where(odd[:, None], 9, train.numbers), train.categories, train.labels, train.weights
    )
    first, second = (learner(name)(r, val, task(tmp_path, name)) for r in (train, other))
    np.testing.assert_array_equal(scores(first, val), scores(second, val))


@pytest.mark.parametrize("name", sorted(ANOMALY))
def test_which_other_class_it_is_follows_their_shares(tmp_path, name):
    train = rows(2000, classes=3)
    fitted = learner(name)(train, rows(300, 1, 3), task(tmp_path, name, 3))
    p = softmax(scores(fitted, rows(100, 2, 3)), axis=1)
    share = np.bincount(train.labels) / len(train)
    np.testing.assert_allclose(p[:, 1] / p[:, 2], share[1] / share[2], rtol=1e-4)


def test_as_many_usual_rows_are_called_unusual_as_there_are_others(tmp_path):
    train = rows(2000)
    fitted = learner("isolation_forest")(train, rows(300, 1), task(tmp_path, "isolation_forest"))
    raw = scores(fitted, train)[train.labels == 0]
    rare = (train.labels > 0).mean()
    assert (raw[:, 1] > raw[:, 0]).mean() == pytest.approx(rare, abs=2e-3)


def test_isolation_is_scikit_learns_score():
    x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    forest = IsolationForest(n_estimators=30, max_samples=64, random_state=0).fit(x)
    new = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32) * 2
    found = np.asarray(Isolation(forest)(tf.constant(new)))
    np.testing.assert_allclose(2 ** found.astype(np.float64), -forest.score_samples(new), rtol=1e-5)


def test_the_mean_path_length_is_that_of_the_paper():
    # c(n) = 2 H(n - 1) - 2 (n - 1) / n, with H(i) about ln(i) + 0.5772.
    n = np.array([1, 2, 3, 256])
    expected = [0, 1, 2 * (np.log(2) + 0.5772156649) - 4 / 3, 2 * (np.log(255) + 0.5772156649)]
    expected[3] -= 2 * 255 / 256
    np.testing.assert_allclose(path_length(n), expected, rtol=1e-9)


def test_val_without_the_largest_class_is_told(tmp_path):
    val = rows(100, 1)
    with pytest.raises(UserError, match=r"val has no row of class 'class 0'.*split.val"):
        Usual.of(
            Rows(val.numbers, val.categories, np.ones_like(val.labels), val.weights),
            task(tmp_path, "autoencoder"),
            0,
        )
