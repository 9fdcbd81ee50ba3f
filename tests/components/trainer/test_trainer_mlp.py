import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import average_precision_score

from tfx_imbalance.components import progress
from tfx_imbalance.components.calibrator import prior
from tfx_imbalance.components.trainer.devices import Devices, visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows, pack
from tfx_imbalance.components.trainer.learners import Task, learner, mlp
from tfx_imbalance.components.trainer.learners.mlp import (
    HEAD,
    Cosines,
    PiecewiseLinear,
    batch_size,
    batches,
    build,
    fit,
    intercept_shift,
    quantile_edges,
)
from tfx_imbalance.components.trainer.losses import log_prior
from tfx_imbalance.components.trainer.params import (
    LossParams,
    MlpParams,
    SamplingParams,
    TrainerParams,
)
from tfx_imbalance.components.trainer.sampling import plan

FEATURES = (Feature("a", 1), Feature("b", 1), Feature("c", 1, categories=3))
SMALL = {"hidden": (8,), "embedding_units": 2, "bins": 4, "bin_units": 2, "epochs": 3}


def rows(n: int, seed: int = 0, classes: int = 2) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.25).astype(np.int32) * rng.integers(1, classes, n, dtype=np.int32)
    numbers = (rng.normal(size=(n, 2)) + labels[:, None]).astype(np.float32)
    categories = ((labels + rng.integers(0, 2, n)) % 3).astype(np.int32)[:, None]
    return Rows(numbers, categories, labels, np.ones(n, np.float32))


def task(log_dir, class_weights=(1.0, 1.0), seed=0, **mlp) -> Task:
    params = TrainerParams(label="y", seed=seed, mlp=MlpParams(**{**SMALL, **mlp}))
    names = [f"class {k}" for k in range(len(class_weights))]
    return Task(FEATURES, names, np.array(class_weights), params, visible_devices(), str(log_dir))


def scores(fitted, data: Rows) -> np.ndarray:
    columns = {"a": data.numbers[:, :1], "b": data.numbers[:, 1:], "c": data.categories}
    return np.asarray(fitted.scorer(columns))


def weighted(data: Rows, positive: float) -> Rows:
    weights = np.where(data.labels > 0, positive, 1.0).astype(np.float32)
    return dataclasses.replace(data, weights=weights)


def test_the_registry_knows_the_mlp():
    assert learner("mlp") is fit


def test_the_loss_is_numpys_weighted_cross_entropy(tmp_path):
    data, val = rows(256), rows(64, 1)
    # A learning rate of next to nothing: the loss of the whole epoch is the first network's.
    this = task(tmp_path, (0.5, 3.0), learning_rate=1e-12, weight_decay=0, dropout=0, epochs=1)
    fitted = fit(weighted(data, 2.0), val, this)
    w = np.where(data.labels > 0, 3.0 * 2.0, 0.5)
    w = w / w.mean()
    keras.utils.set_random_seed(0)
    mass = np.bincount(data.labels, w)
    network = build(FEATURES, quantile_edges(data.numbers, 4), log_prior(mass), this.params.mlp)
    raw = np.asarray(network((data.numbers, data.categories)))
    expected = -(w * log_softmax(raw, axis=1)[np.arange(256), data.labels]).mean()
    assert fitted.history[0].train_loss == pytest.approx(expected, rel=1e-5)


def test_class_weights_change_the_loss_and_the_scores(tmp_path):
    data, val = rows(320), rows(100, 1)
    plain = fit(data, val, task(tmp_path / "plain"))
    heavy = fit(data, val, task(tmp_path / "heavy", (1.0, 8.0)))
    assert heavy.history[0].train_loss != pytest.approx(plain.history[0].train_loss, rel=1e-2)
    lift = softmax(scores(heavy, val), 1)[:, 1] - softmax(scores(plain, val), 1)[:, 1]
    assert lift.mean() > 0.1
    # The mean score is the share that the weighted learner sees.
    seen = 8 * data.labels.sum() / (8 * data.labels.sum() + (data.labels == 0).sum())
    trained = softmax(scores(heavy, data), 1)[:, 1]
    assert np.average(trained, weights=np.where(data.labels, 8.0, 1.0)) == pytest.approx(
        seen, abs=1e-3
    )


def test_a_sample_weight_is_the_same_as_a_class_weight(tmp_path):
    data, val = rows(320), rows(100, 1)
    by_class = fit(data, val, task(tmp_path / "class", (1.0, 8.0)))
    by_row = fit(weighted(data, 8.0), val, task(tmp_path / "row"))
    np.testing.assert_array_equal(scores(by_class, val), scores(by_row, val))
    assert not np.allclose(
        scores(by_row, val), scores(fit(data, val, task(tmp_path)), val), atol=0.1
    )


def test_only_the_ratio_of_the_weights_matters(tmp_path):
    data = rows(50)
    one, tenfold = task(tmp_path, (1.0, 2.0)), task(tmp_path, (10.0, 20.0))
    np.testing.assert_allclose(one.loss_weights(data), tenfold.loss_weights(data), rtol=1e-6)
    assert one.loss_weights(data).mean() == pytest.approx(1)


def test_val_figures_use_sample_weights_but_no_class_weights(tmp_path):
    data, val = rows(320), weighted(rows(100, 1), 3.0)
    fitted = fit(data, val, task(tmp_path, (1.0, 8.0), epochs=1))
    raw = scores(fitted, val)
    ap = average_precision_score(val.labels, raw[:, 1] - raw[:, 0], sample_weight=val.weights)
    assert fitted.history[0].val_auc_pr == pytest.approx(ap)


def known(n: int, seed: int, classes: int = 2) -> tuple[Rows, np.ndarray]:
    """Rows, and their classes' true probabilities: float64 [n, classes]; class k > 0 is rare."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 2)).astype(np.float32)
    logits = np.zeros((n, classes))
    for k in range(1, classes):
        logits[:, k] = -4 + 1.5 * numbers[:, k - 1]
    p = softmax(logits, axis=1)
    labels = (rng.random(n)[:, None] > np.cumsum(p, axis=1)).sum(axis=1).astype(np.int32)
    return Rows(numbers, np.zeros((n, 1), np.int32), labels, np.ones(n, np.float32)), p


def corrected(fitted, data: Rows) -> np.ndarray:
    """What Calibrator's prior correction makes of the scores."""
    logits = tf.constant(scores(fitted, data), tf.float64)
    return np.exp(prior.correct(logits, fitted.effect.factors).numpy())


MOVED = [
    ({"loss": {"name": "logit_adjusted"}}, (1, 1, 1)),
    ({"loss": {"name": "logit_adjusted", "tau": 0.5}}, (1, 4, 4)),
    ({"sampling": {"mode": "per_class"}}, (1, 1, 1)),
    ({"sampling": {"mode": "balanced_batches"}}, (1, 1, 1)),
    ({"sampling": {"mode": "rejection"}}, (1, 1, 1)),
    (
        {
            "sampling": {"mode": "per_class", "target": {f"class {k}": 1 / 3 for k in range(3)}},
            "loss": {"name": "logit_adjusted"},
        },
        (1, 2, 2),
    ),
]


@pytest.mark.parametrize(("options", "class_weights"), MOVED)
def test_the_prior_correction_undoes_what_moved_the_prior(tmp_path, options, class_weights):
    train, _ = known(6000, 0, 3)
    val, truth = known(4000, 1, 3)
    small = {"hidden": (16,), "bins": 0, "dropout": 0.0, "epochs": 6, "learning_rate": 0.01}
    fitted = fit(train, val, task(tmp_path, class_weights, **small, **options))
    assert fitted.effect.kind == "prior_only"
    got = corrected(fitted, val)
    # On train the mean score is the share, but for what dropped out; on val by chance, too.
    shares = np.bincount(train.labels) / len(train)
    np.testing.assert_allclose(corrected(fitted, train).mean(axis=0), shares, rtol=0.05)
    np.testing.assert_allclose(got.mean(axis=0), truth.mean(axis=0), rtol=0.12)
    assert np.abs(got - truth).mean() < 0.01
    # As trained they are far from that: something was undone.
    assert softmax(scores(fitted, val), axis=1)[:, 1:].mean() > 2 * truth[:, 1:].mean()


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "focal"},
        {"name": "cross_entropy", "label_smoothing": 0.05},
        {"name": "ldam", "scale": 8.0},
    ],
)
def test_losses_that_bend_probabilities_rank_rows_and_say_so(tmp_path, loss):
    data, val = rows(640), rows(400, 1)
    fitted = fit(data, val, task(tmp_path, (1.0, 3.0), loss=loss))
    assert fitted.effect.kind == "approximate"
    np.testing.assert_array_equal(fitted.effect.factors, [1.0, 3.0])
    raw = scores(fitted, val)
    assert np.isfinite(raw).all()
    assert average_precision_score(val.labels, raw[:, 1] - raw[:, 0]) > 1.5 * val.labels.mean()


def test_the_mean_score_of_a_smoothed_loss_is_the_mean_target(tmp_path):
    data = rows(320)
    fitted = fit(data, data, task(tmp_path, epochs=1, loss={"label_smoothing": 0.2}))
    expected = 0.8 * data.labels.mean() + 0.1
    assert softmax(scores(fitted, data), 1)[:, 1].mean() == pytest.approx(expected, abs=1e-3)


def test_weights_alone_are_prior_only_and_no_weights_do_nothing(tmp_path):
    data = rows(64)
    plain = fit(data, data, task(tmp_path, epochs=1)).effect
    heavy = fit(data, data, task(tmp_path, (0.5, 2.0), epochs=1)).effect
    assert (plain.kind, heavy.kind) == ("none", "prior_only")
    np.testing.assert_array_equal(heavy.factors, [0.5, 2.0])


def test_sampled_rows_keep_their_weights_and_their_mean_is_one(tmp_path, monkeypatch):
    data = dataclasses.replace(
        rows(320), weights=np.random.default_rng(0).exponential(size=320).astype(np.float32)
    )
    given = []

    def spied(*args):
        given.append(args)
        return batches(*args)

    monkeypatch.setattr(mlp, "batches", spied)
    fit(data, data, task(tmp_path, epochs=1, sampling={"mode": "balanced_batches"}))
    _, weights, epoch, *_ = given[0]
    np.testing.assert_allclose(weights / weights[0], data.weights / data.weights[0], rtol=1e-5)
    drawn = [weights[np.asarray(epoch(tf.constant(0, tf.int64)))].mean()]
    assert np.mean(drawn) == pytest.approx(1, abs=0.1)


def test_with_sampling_a_row_without_weight_is_as_if_left_out(tmp_path):
    data, val = rows(320), rows(100, 1)
    kept = np.arange(320) % 4 > 0
    less = Rows(*(getattr(data, f.name)[kept] for f in dataclasses.fields(Rows)))
    data = dataclasses.replace(data, weights=kept.astype(np.float32))
    options = {"sampling": {"mode": "per_class"}, "epochs": 2}
    silent = fit(data, val, task(tmp_path / "a", **options))
    absent = fit(less, val, task(tmp_path / "b", **options))
    np.testing.assert_allclose(silent.effect.factors, absent.effect.factors)


def test_ldam_scores_are_scaled_cosines_and_a_bias():
    params = MlpParams(hidden=(4,), bins=0, loss=LossParams(name="ldam", scale=5.0))
    network = build((Feature("a", 3),), np.zeros((3, 1), np.float32), np.zeros(2), params)
    head = network.get_layer(HEAD)
    assert isinstance(head, Cosines)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    kernel = np.asarray(head.kernel)
    cosine = (x @ kernel) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(kernel, axis=0))
    np.testing.assert_allclose(np.asarray(head(x)), 5 * cosine, atol=1e-4)
    assert np.isfinite(np.asarray(head(np.zeros((1, 4), np.float32)))).all()


def test_xla_learns_the_same_and_is_named(tmp_path):
    data, val = rows(320), rows(100, 1)
    plain = fit(data, val, task(tmp_path / "plain", dropout=0))
    xla = dataclasses.replace(
        task(tmp_path / "xla", dropout=0), devices=visible_devices("off", jit_compile="on")
    )
    compiled = fit(data, val, xla)
    np.testing.assert_allclose(scores(plain, val), scores(compiled, val), atol=1e-3)
    assert compiled.device.endswith(", XLA") and plain.device is None


def test_one_seed_one_model(tmp_path):
    data, val = rows(320), rows(100, 1)
    one, two, other = (
        fit(data, val, task(tmp_path / str(i), seed=s)) for i, s in enumerate((7, 7, 8))
    )
    np.testing.assert_array_equal(scores(one, val), scores(two, val))
    assert not np.array_equal(scores(one, val), scores(other, val))


def test_the_best_epoch_is_the_one_kept_and_patience_ends_training(tmp_path):
    data, val = rows(320), rows(100, 1)
    fitted = fit(data, val, task(tmp_path, learning_rate=0.1, epochs=40, patience=2))
    best = max(fitted.history, key=lambda e: e.val_auc_pr)
    assert fitted.best_epoch == best.epoch
    assert len(fitted.history) == min(best.epoch + 2, 40) < 40
    raw = scores(fitted, val)
    assert average_precision_score(val.labels, raw[:, 1] - raw[:, 0]) == pytest.approx(
        best.val_auc_pr
    )


def test_several_classes_and_one_that_val_lacks(tmp_path):
    data, val = rows(400, classes=4), rows(100, 1, classes=3)
    said: list[str] = []
    with progress.shown_by(said.append):
        fitted = fit(data, val, task(tmp_path, (1.0, 1.0, 1.0, 1.0), epochs=1))
    raw = softmax(scores(fitted, val), axis=1)
    # Macro one-vs-rest: an intercept shift moves the softmax's ranking a little.
    macro = np.mean([average_precision_score(val.labels == k, raw[:, k]) for k in range(3)])
    assert fitted.history[0].val_auc_pr == pytest.approx(macro, abs=0.02)
    assert np.isnan(fitted.history[0].val_recall["class 3"])
    assert said[0].startswith("epoch 1/1  loss ") and "val AUC-PR" in said[0]
    assert "class 0 " in said[0]


def test_tensorboard_logs_are_written(tmp_path):
    fit(rows(64), rows(64, 1), task(tmp_path, epochs=1))
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    "features",
    [
        (Feature("a", 1), Feature("b", 1)),
        (Feature("c", 1, categories=3),),
        (Feature("a", 2), Feature("c", 2, categories=3)),
    ],
)
@pytest.mark.parametrize("bins", [0, 4])
def test_any_mix_of_numbers_and_categories_trains(tmp_path, features, bins):
    base = rows(64)
    numbers = sum(f.width for f in features if not f.categories)
    categories = sum(f.width for f in features if f.categories)
    data = dataclasses.replace(
        base,
        numbers=base.numbers[:, :numbers],
        categories=np.repeat(base.categories, categories, axis=1),
    )
    this = dataclasses.replace(task(tmp_path, epochs=1, bins=bins), features=features)
    columns = {
        f.name: np.zeros((5, f.width), np.int64 if f.categories else np.float32) for f in features
    }
    assert fit(data, data, this).scorer(columns).shape == (5, 2)


def test_mixed_precision_trains_and_the_exported_network_computes_in_float32(tmp_path):
    data, val = rows(320), rows(100, 1)
    for policy in ("mixed_bfloat16", "mixed_float16"):
        devices = Devices(visible_devices().strategy, policy, "test")
        fitted = fit(data, val, dataclasses.replace(task(tmp_path), devices=devices))
        network = fitted.scorer.network
        assert {layer.compute_dtype for layer in network.layers} <= {"float32", "int32"}
        raw = scores(fitted, val)
        assert average_precision_score(val.labels, raw[:, 1] - raw[:, 0]) > val.labels.mean()


def test_a_network_starts_at_the_log_prior():
    bias = log_prior(np.array([3.0, 1.0]))
    network = build((Feature("a", 1),), np.zeros((1, 1), np.float32), bias, MlpParams(hidden=(4,)))
    at_zero = softmax(np.asarray(network((np.zeros((1, 1)), np.zeros((1, 0), np.int32)))), axis=1)
    np.testing.assert_allclose(at_zero, [[0.75, 0.25]], rtol=1e-6)


def test_piecewise_linear_encoding_follows_the_papers_formula():
    edges = np.array([[0.0, 1.0, 3.0, 3.0], [-2.0, -1.0, 0.0, 5.0]], np.float32)
    layer = PiecewiseLinear(edges, 3)
    x = np.random.default_rng(0).uniform(-4, 6, (50, 2)).astype(np.float32)
    got = np.asarray(layer(x)).reshape(50, 2, 3)
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    for i in range(50):
        for j in range(2):
            code = np.zeros(3)
            for t in range(3):
                low, high = edges[j, t], edges[j, t + 1]
                if high > low:
                    code[t] = (
                        0
                        if x[i, j] < low
                        else 1
                        if x[i, j] >= high
                        else (x[i, j] - low) / (high - low)
                    )
            np.testing.assert_allclose(
                got[i, j], np.maximum(code @ kernel[j] + bias[j], 0), atol=1e-5
            )


def test_edges_are_quantiles_where_no_value_repeats():
    x = np.random.default_rng(0).permutation(np.arange(101, dtype=np.float32))[:, None]
    np.testing.assert_array_equal(quantile_edges(x, 10)[0], np.arange(0, 101, 10))


def test_a_frequent_value_takes_one_bin_only():
    x = np.concatenate([np.zeros(920), np.arange(1, 81)]).astype(np.float32)[:, None]
    edges = quantile_edges(x, 10)[0]
    assert edges[0] == 0 and len(np.unique(edges)) == 11


def test_few_distinct_values_are_the_edges_and_the_last_one_fills_up():
    x = np.repeat(np.array([2.0, 0.0, 7.0], np.float32), 40)[:, None]
    np.testing.assert_array_equal(quantile_edges(x, 6)[0], [0, 2, 7, 7, 7, 7, 7])


@pytest.mark.parametrize("seed", range(3))
def test_edges_of_each_column_are_nearest_quantiles_by_brute_force(seed):
    x = np.random.default_rng(seed).normal(size=(230, 3)).astype(np.float32)
    ranks = np.rint(np.linspace(0, 229, 9)).astype(int)
    np.testing.assert_allclose(quantile_edges(x, 8), np.sort(x, axis=0)[ranks].T)


def test_a_constant_column_encodes_to_nothing():
    edges = quantile_edges(np.full((50, 1), 3.0, np.float32), 4)
    np.testing.assert_array_equal(edges, np.full((1, 5), 3.0))
    encoded = np.asarray(PiecewiseLinear(edges, 2)(np.array([[-1.0], [3.0], [9.0]], np.float32)))
    np.testing.assert_array_equal(encoded, np.zeros((3, 2)))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    st.integers(0, 12),
)
def test_edges_rise_and_lie_within_the_data(values, bins):
    x = np.array(values, np.float32)[:, None]
    edges = quantile_edges(x, bins)
    assert edges.shape == (1, bins + 1)
    if bins:
        assert (np.diff(edges) >= 0).all()
        assert set(edges[0].tolist()) <= set(x[:, 0].tolist())


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_after_the_shift_mean_scores_are_the_shares(classes, seed):
    rng = np.random.default_rng(seed)
    logits, weights = rng.normal(0, 2, (200, classes)), rng.exponential(size=200)
    mass = rng.exponential(size=classes) + 0.05
    shifted = softmax(logits + intercept_shift(logits, weights, mass), axis=1)
    np.testing.assert_allclose(
        np.average(shifted, axis=0, weights=weights), mass / mass.sum(), atol=1e-3
    )


def test_an_epoch_has_each_row_at_most_once_and_another_order_than_the_next():
    data = rows(103)
    index = np.arange(103, dtype=np.float32)
    first, second = [], []
    way = plan(SamplingParams(), data, ("0", "1"), size=10, epochs=2, seed=3)
    got = batches(data, index, way.epoch, 2)
    for step, (_, _, weights) in enumerate(got.as_numpy_iterator()):
        (first if step < 10 else second).extend(weights.tolist())
    assert len(first) == len(set(first)) == len(second) == len(set(second)) == 100
    assert first != second


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(100_000, 256, 256), (1600, 256, 50), (235, 256, 16), (5, 256, 5)]
)
def test_small_data_takes_smaller_steps(n, most, expected):
    assert batch_size(n, most) == expected


def test_pack_and_the_networks_layout_agree(tmp_path):
    data = rows(64)
    columns = {"a": data.numbers[:, :1], "b": data.numbers[:, 1:], "c": data.categories}
    numbers, categories = pack(columns, FEATURES)
    np.testing.assert_array_equal(numbers, data.numbers)
    np.testing.assert_array_equal(categories, data.categories)
