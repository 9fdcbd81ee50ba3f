import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import xgboost
from scipy.special import softmax
from sklearn.metrics import average_precision_score

from tfx_imbalance.components import progress
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, boosted_trees, learner
from tfx_imbalance.components.trainer.learners.boosted_trees import (
    fit,
    log_loss,
    macro_average_precision,
    probabilities,
)
from tfx_imbalance.components.trainer.learners.columns import Columns
from tfx_imbalance.components.trainer.params import TrainerParams

FEATURES = (Feature("a", 1), Feature("b", 1), Feature("c", 1, categories=12))
TYPES = ["q", "q", "c"]
SMALL = {"rounds": 12, "max_depth": 4, "learning_rate": 0.3}


def rows(n: int, seed: int = 0, classes: int = 2, missing: float = 0.1) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.25).astype(np.int32) * rng.integers(1, classes, n, dtype=np.int32)
    numbers = (rng.normal(size=(n, 2)) + labels[:, None]).astype(np.float32)
    numbers[rng.random(numbers.shape) < missing] = np.nan
    categories = ((5 * labels + rng.integers(0, 6, n)) % 12).astype(np.int32)[:, None]
    return Rows(numbers, categories, labels, np.ones(n, np.float32))


def task(log_dir="", class_weights=(1.0, 1.0), seed=0, **params) -> Task:
    params = TrainerParams(
        label="y", learner="boosted_trees", seed=seed, boosted_trees={**SMALL, **params}
    )
    names = [f"class {k}" for k in range(len(class_weights))]
    return Task(FEATURES, names, np.array(class_weights), params, visible_devices(), str(log_dir))


def scores(fitted, data: Rows) -> np.ndarray:
    columns = {"a": data.numbers[:, :1], "b": data.numbers[:, 1:], "c": data.categories}
    return np.asarray(fitted.scorer(columns))


def x(data: Rows) -> np.ndarray:
    return np.concatenate([data.numbers, data.categories], 1).astype(np.float32)


def plain(data: Rows, weights=None, **settings) -> xgboost.XGBClassifier:
    """XGBoost's own, with what `SMALL` says."""
    model = xgboost.XGBClassifier(
        **{
            "n_estimators": 12,
            "max_depth": 4,
            "learning_rate": 0.3,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "feature_types": TYPES,
            "enable_categorical": True,
            "random_state": 0,
            "n_jobs": 1,
            **settings,
        }
    )
    return model.fit(x(data), data.labels, sample_weight=weights)


def best_of(fitted, model: xgboost.XGBClassifier, data: Rows) -> np.ndarray:
    """Its probabilities at our best round."""
    return model.predict_proba(x(data), iteration_range=(0, fitted.best_epoch))


def test_the_registry_knows_it():
    assert learner("boosted_trees") is fit


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_xgboosts_own(tmp_path, classes):
    train, val, test = rows(1500, 0, classes), rows(300, 1, classes), rows(1000, 2, classes, 0.3)
    fitted = fit(train, val, task(tmp_path, np.ones(classes)))
    expected = best_of(fitted, plain(train), test)
    np.testing.assert_allclose(softmax(scores(fitted, test), axis=1), expected, atol=1e-6)
    assert fitted.effect is None and fitted.device.startswith("CPU")


def test_class_weights_times_sample_weights_are_xgboosts_sample_weights(tmp_path):
    train, val = rows(1000), rows(300, 1)
    given = np.random.default_rng(0).integers(1, 4, 1000).astype(np.float32)
    fitted = fit(
        dataclasses.replace(train, weights=given), val, task(tmp_path, (0.5, 3.0), subsample=1)
    )
    both = given * np.where(train.labels, 3.0, 0.5)
    expected = best_of(fitted, plain(train, both / both.mean(), subsample=1), val)
    np.testing.assert_allclose(softmax(scores(fitted, val), 1), expected, atol=1e-5)


def test_class_weights_are_scale_pos_weight(tmp_path):
    train, val = (
        dataclasses.replace(data, numbers=data.numbers.round(1))  # each value is a bin
        for data in (rows(1000), rows(300, 1))
    )
    share = train.labels.mean()
    fitted = fit(train, val, task(tmp_path, (1.0, 4.0), min_child_weight=0, l2=0, subsample=1))
    model = plain(
        train,
        scale_pos_weight=4,
        base_score=4 * share / (1 + 3 * share),  # of the weighted rows, as ours starts
        min_child_weight=0,
        reg_lambda=0,
        subsample=1,
    )
    expected = best_of(fitted, model, val)
    np.testing.assert_allclose(softmax(scores(fitted, val), 1), expected, atol=1e-4)


def test_a_row_without_weight_is_a_row_left_out(tmp_path):
    train, val = rows(800), rows(300, 1)
    keep = np.arange(800) % 3 > 0
    zero = dataclasses.replace(train, weights=keep.astype(np.float32))
    left_out = Rows(*(getattr(train, f.name)[keep] for f in dataclasses.fields(train)))
    first, second = (fit(t, val, task(tmp_path)) for t in (zero, left_out))
    np.testing.assert_array_equal(scores(first, val), scores(second, val))


def test_it_stops_at_the_round_with_the_best_average_precision(tmp_path):
    train, val = rows(600), rows(200, 1)
    fitted = fit(train, val, task(tmp_path, rounds=200, patience=5, subsample=1))
    assert fitted.best_epoch < 195
    raw = scores(fitted, val)
    best = next(e for e in fitted.history if e.epoch == fitted.best_epoch)
    assert average_precision_score(val.labels, raw[:, 1] - raw[:, 0]) == pytest.approx(
        best.val_auc_pr
    )
    # By brute force: no round up to the last one is better.
    model = plain(train, n_estimators=fitted.history[-1].epoch, subsample=1)
    by_round = [
        average_precision_score(
            val.labels, model.predict(x(val), output_margin=True, iteration_range=(0, r + 1))
        )
        for r in range(fitted.history[-1].epoch)
    ]
    assert int(np.argmax(by_round)) + 1 == fitted.best_epoch == len(by_round) - 5


def test_the_history_has_every_fiftieth_round_the_first_the_best_and_the_last(tmp_path):
    said: list[str] = []
    with progress.shown_by(said.append):
        fitted = fit(rows(300), rows(200, 1), task(tmp_path, rounds=120, patience=120))
    epochs = [e.epoch for e in fitted.history]
    assert epochs == sorted({1, 50, 100, 120, fitted.best_epoch})
    assert said[0].startswith("round 1/120  loss ") and said[-1].startswith("best round ")
    assert list(tmp_path.glob("events.out.tfevents.*"))
    losses = [e.train_loss for e in fitted.history]
    assert losses == sorted(losses, reverse=True)


def test_the_losses_of_the_history_are_those_of_the_scores(tmp_path):
    train, val = rows(300, classes=3), rows(200, 1, classes=3)
    this = task(tmp_path, (1.0, 2.0, 3.0))
    fitted = fit(train, val, this)
    best = next(e for e in fitted.history if e.epoch == fitted.best_epoch)
    for data, weights, loss in (
        (train, this.class_weights[train.labels], best.train_loss),
        (val, None, best.val_loss),
    ):
        p = softmax(scores(fitted, data), axis=1)[np.arange(len(data)), data.labels]
        assert loss == pytest.approx(-np.average(np.log(p), weights=weights), rel=1e-5)


def test_the_loss_decides_where_val_has_no_positive_row(tmp_path):
    val = rows(200, 1)
    val = dataclasses.replace(val, labels=np.zeros_like(val.labels))
    fitted = fit(rows(600), val, task(tmp_path, rounds=30, patience=30))
    losses = {e.epoch: e.val_loss for e in fitted.history}
    assert losses[fitted.best_epoch] == min(losses.values())


def test_past_the_memory_limit_it_learns_from_disk_the_same(tmp_path, monkeypatch):
    n = 90_000  # of 3 columns: a little more than 1 MB
    monkeypatch.setattr(boosted_trees, "ROWS_A_THREAD", n)
    train, val = rows(n), rows(500, 1)
    said: list[str] = []
    memory = fit(train, val, task(tmp_path, rounds=4))
    parts: list[int] = []
    matrix = Columns.matrix

    def counting(self, data):
        parts.append(len(data))
        return matrix(self, data)

    monkeypatch.setattr(Columns, "matrix", counting)
    with progress.shown_by(said.append):
        disk = fit(train, val, task(tmp_path, rounds=4, memory_mb=1))
    assert "disk" in said[0] and n > 3 * max(parts)
    found, expected = (softmax(scores(f, val), 1)[:, 1] for f in (disk, memory))
    # Quantiles of parts, merged, may differ a little.
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_any_number_of_threads_gives_the_same_trees(tmp_path, monkeypatch):
    train, val = rows(5000), rows(500, 1)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(boosted_trees, "ROWS_A_THREAD", len(train) // threads)
        monkeypatch.setattr(boosted_trees.joblib, "cpu_count", lambda: 8)
        fitted = fit(train, val, task(tmp_path))
        assert fitted.device == f"CPU ({threads} thread{'s' if threads > 1 else ''})"
        found.append(scores(fitted, val))
    np.testing.assert_array_equal(*found)


def test_what_it_cannot_learn_is_said(tmp_path):
    train, val = rows(100), rows(100, 1)
    one = dataclasses.replace(train, weights=(train.labels == 0).astype(np.float32))
    with pytest.raises(UserError, match="no row of class 'class 1' with a weight above 0"):
        fit(one, val, task(tmp_path))
    train.numbers[3, 1] = np.inf
    with pytest.raises(UserError, match="feature 'b' has an infinite value"):
        fit(train, val, task(tmp_path))


def test_average_precision_is_scikit_learns_ties_and_weights_counted():
    rng = np.random.default_rng(0)
    for _ in range(50):
        val = rows(60, rng.integers(1 << 30), classes=3)
        weights = rng.integers(0, 3, 60).astype(np.float32)
        binary = dataclasses.replace(val, labels=(val.labels > 0).astype(np.int32), weights=weights)
        margins = rng.integers(-3, 3, 60).astype(np.float32)
        assert macro_average_precision(binary, 2)(margins) == pytest.approx(
            average_precision_score(binary.labels, margins, sample_weight=weights)
        )
        several = rng.integers(-3, 3, (60, 4)).astype(np.float32)
        p = probabilities(several)
        expected = np.mean(
            [average_precision_score(val.labels == k, p[:, k]) for k in np.unique(val.labels)]
        )
        assert macro_average_precision(val, 4)(several) == pytest.approx(expected)


def test_log_loss_of_margins_is_that_of_their_probabilities():
    rng = np.random.default_rng(0)
    labels, weights = rng.integers(0, 2, 50), rng.random(50)
    for margins in (rng.normal(size=50), rng.normal(size=(50, 3))):
        p = probabilities(margins)[np.arange(50), labels]
        assert log_loss(margins, labels, weights) == pytest.approx(
            -np.average(np.log(p), weights=weights)
        )


def test_the_module_computes_without_xgboost(tmp_path):
    fitted = fit(rows(400), rows(100, 1), task(tmp_path))
    module = tf.Module()
    module.scorer = fitted.scorer
    spec = {
        f.name: tf.TensorSpec([None, 1], tf.int64 if f.categories else tf.float32) for f in FEATURES
    }
    module.score = tf.function(fitted.scorer.__call__, input_signature=[spec], autograph=False)
    graph = module.score.get_concrete_function().graph.as_graph_def()
    assert not {n.op for n in graph.node} & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
