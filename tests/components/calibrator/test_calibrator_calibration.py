"""Calibration maps against scikit-learn's, and when `auto` uses them."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from threadpoolctl import threadpool_limits

from tfx_imbalance.components import metrics
from tfx_imbalance.components.calibrator import calibration
from tfx_imbalance.components.errors import UserError

PROPERTY = settings(deadline=None, max_examples=15)
PREVALENCE = 0.1375  # of `binary`: the mean of sigmoid(N(-2.5, 1.5))


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def binary(n, seed=0, slope=1.0, shift=0.0):
    """log p of a model whose logit is slope * true logit + shift; labels; weights."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.5, 1.5, n)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-z))).astype(np.int64)
    return log_softmax(np.stack([np.zeros(n), slope * z + shift], axis=1)), y, np.ones(n)


def stratified(n, seed=0):
    """As `binary`, calibrated, with the population's share of positives to one row."""
    log_p, y, _ = binary(20 * n, seed)
    positives = round(n * PREVALENCE)
    rows = [np.flatnonzero(y == k)[:m] for k, m in ((0, n - positives), (1, positives))]
    rows = np.concatenate(rows)
    return log_p[rows], y[rows], np.ones(n)


def many(n, seed=0, temperature=1.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, 3)) - [0, 1, 2]
    p = np.exp(log_softmax(z))
    y = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return log_softmax(z * temperature), y, np.ones(n)


def apply(fitted, log_p):
    return fitted(tf.constant(log_p)).numpy()


def ece(p, y, w):
    classes = tuple("abc"[: p.shape[1]])
    return metrics.ece(metrics.Scores("test", y, p, p.argmax(axis=1), w, classes))


@pytest.mark.parametrize("n", [40, 3000])
@pytest.mark.parametrize("weighted", [False, True])
def test_platt_is_scikit_learns_sigmoid_calibration(n, weighted):
    log_p, y, w = binary(n, slope=2.0, shift=1.0)
    if weighted:
        w = np.random.default_rng(1).uniform(0.2, 3, n)
    z = log_p[:, 1] - log_p[:, 0]
    expected = _SigmoidCalibration().fit(z, y, sample_weight=w if weighted else None).predict(z)
    found = apply(calibration.fit_platt(log_p, y, w), log_p)
    assert found[:, 1] == pytest.approx(expected, abs=2e-4)
    assert found.sum(axis=1) == pytest.approx(1)


def test_platt_of_separable_val_stays_finite():
    log_p, y, w = binary(30)
    y = (log_p[:, 1] > np.median(log_p[:, 1])).astype(int)
    fitted = calibration.fit_platt(log_p, y, w)
    p = apply(fitted, log_p)
    assert np.isfinite(fitted.slope)
    assert p.min() > 0


def test_platt_of_a_constant_score_is_the_smoothed_prevalence():
    log_p = np.log(np.tile([0.7, 0.3], (50, 1)))
    y = (np.arange(50) < 10).astype(int)
    found = apply(calibration.fit_platt(log_p, y, np.ones(50)), log_p)[:, 1]
    assert found == pytest.approx(0.2 * 11 / 12 + 0.8 / 42, abs=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_scikit_learns_but_for_laplaces_margin(weighted):
    log_p, y, w = binary(500, slope=1.7)
    if weighted:
        w = np.random.default_rng(1).uniform(0.2, 3, 500)
    p = np.exp(log_p[:, 1])
    fitted = calibration.fit_isotonic(log_p, y, w)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(p, y, sample_weight=w)
    new = np.concatenate([p, np.linspace(0, 1, 301)])
    logs = np.log(np.clip(np.stack([1 - new, new], axis=1), 1e-300, 1))
    expected = np.interp(new, oracle.X_thresholds_, oracle.y_thresholds_.clip(1 / 502, 501 / 502))
    assert apply(fitted, logs)[:, 1] == pytest.approx(expected, abs=1e-9)


def test_multiclass_isotonic_is_one_vs_rest_normalised():
    log_p, y, w = many(800, temperature=2.0)
    p = np.exp(log_p)
    columns = [
        IsotonicRegression(y_min=1 / 802, y_max=801 / 802, out_of_bounds="clip")
        .fit(p[:, k], y == k)
        .predict(p[:, k])
        for k in range(3)
    ]
    expected = np.stack(columns, axis=1) / np.sum(columns, axis=0)[:, None]
    assert apply(calibration.fit_isotonic(log_p, y, w), log_p) == pytest.approx(expected)


def test_multiclass_isotonic_keeps_the_probability_of_a_class_without_rows():
    log_p, y, w = many(300)
    y[y == 2] = 0
    fitted = calibration.fit_isotonic(log_p, y, w)
    assert fitted.knots[2] == ((0.0, 1.0), (0.0, 1.0))
    assert apply(fitted, log_p).sum(axis=1) == pytest.approx(1)


def test_temperature_minimises_the_likelihood():
    log_p, y, w = many(4000, temperature=2.5)
    w = np.random.default_rng(0).uniform(0, 2, len(y))

    def loss(t):
        return -np.average(log_softmax(log_p / t)[np.arange(len(y)), y], weights=w)

    expected = minimize(lambda t: loss(t[0]), [1.0], method="Nelder-Mead", tol=1e-9).x[0]
    found = calibration.fit_temperature(log_p, y, w)
    assert found.temperature == pytest.approx(expected, rel=1e-4)
    assert found.temperature == pytest.approx(2.5, rel=0.1)


@PROPERTY
@given(
    xs=st.lists(st.integers(0, 10**6).map(lambda i: i / 1e6), min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 99),
)
def test_interpolation_in_the_graph_is_numpys(xs, seed):
    xs = np.sort(xs)
    ys = np.sort(np.random.default_rng(seed).uniform(size=len(xs)))
    x = np.concatenate([xs, np.linspace(0, 1, 23)])
    found = calibration._interpolate(tf.constant(x), tuple(xs), tuple(ys)).numpy()
    assert found == pytest.approx(np.interp(x, xs, ys), abs=1e-9)


def test_knots_that_only_a_subnormal_number_parts_give_no_nan():
    x = tf.constant([0.0, 1e-311, 0.5], tf.float64)
    found = calibration._interpolate(x, (0.0, 2e-311, 1.0), (0.1, 0.3, 0.5)).numpy()
    assert np.isfinite(found).all()
    assert ((found >= 0.1) & (found <= 0.5)).all()


@pytest.mark.parametrize(("slope", "shift"), [(2.0, 0.0), (0.5, 0.0), (1.0, 1.0), (1.5, -0.7)])
def test_auto_repairs_a_distorted_binary_model_on_new_data(slope, shift):
    fitted, reason = calibration.choose(*binary(8000, 1, slope, shift), "prior_only", 0.01)
    log_p, y, w = binary(40_000, 2, slope, shift)
    before, after = np.exp(log_p), apply(fitted, log_p)
    assert fitted.method == "platt"
    assert "val" in reason
    assert ece(before, y, w) > 0.02
    assert ece(after, y, w) < 0.01
    assert after[:, 1].mean() == pytest.approx(y.mean(), rel=0.05)


def test_auto_repairs_an_overconfident_multiclass_model_on_new_data():
    fitted, _ = calibration.choose(*many(8000, 1, 2.0), "none", 0.01)
    log_p, y, w = many(40_000, 2, 2.0)
    assert fitted.method == "temperature"
    assert ece(np.exp(log_p), y, w) > 0.03
    assert ece(apply(fitted, log_p), y, w) < 0.01


def test_auto_mostly_leaves_a_calibrated_model_alone_and_never_harms_it():
    left = 0
    for seed in range(20):
        log_p, y, w = stratified(2000, seed)
        fitted, _ = calibration.choose(log_p, y, w, "prior_only", 0.01)
        left += fitted.method == "none"
        log_p, y, w = binary(40_000, 1000)
        true = np.exp(log_p[:, 1])
        found = apply(fitted, log_p)[:, 1]
        excess = np.mean((found - true) ** 2)  # what the map adds to the expected Brier score
        assert excess < 0.01 * np.mean(true * (1 - true))
    assert left >= 17


@pytest.mark.parametrize("n", [30, 100, 300])
def test_auto_does_not_chase_noise_on_a_small_val(n):
    methods = [
        calibration.choose(*stratified(n, seed), "prior_only", 0.01)[0].method for seed in range(30)
    ]
    assert methods.count("none") >= 26


@pytest.mark.parametrize(("data", "method"), [(binary(500), "platt"), (many(500), "temperature")])
def test_auto_always_calibrates_after_an_approximate_rebalancing(data, method):
    fitted, reason = calibration.choose(*data, "approximate", 0.01)
    assert fitted.method == method
    assert "p(x|y)" in reason


def test_auto_never_turns_the_ranking_round():
    log_p, y, w = binary(2000)
    fitted, reason = calibration.choose(log_p[:, ::-1], y, w, "prior_only", 0.01)
    assert fitted.method == "none"
    assert "do not rise" in reason


def test_ece_by_chance_is_what_true_probabilities_show_on_average():
    found = []
    for seed in range(60):
        log_p, y, w = binary(1000, seed)
        found.append(ece(np.exp(log_p), y, w))
    log_p, _, w = binary(1000, 5)
    mean, error = calibration.ece_by_chance(np.exp(log_p), w)
    assert np.mean(found) == pytest.approx(mean, rel=0.1)
    assert np.std(found) == pytest.approx(error, rel=0.25)


def test_platt_on_three_classes_is_refused_by_its_config_path():
    with pytest.raises(UserError, match=r"calibrate.method: platt is for two classes, found 3"):
        calibration.fit("platt", *many(20))


def _penalised(z, y, w, matrix_part):
    """Loss of logits z with the normal prior that `_fit_linear` states; its own form."""
    p = tf.nn.softmax(z).numpy()
    return -(w @ np.log(p[np.arange(len(y)), y])) + (matrix_part**2).sum() / 2


@pytest.mark.parametrize("method", ["vector", "dirichlet"])
def test_vector_and_dirichlet_maximise_the_posterior(method):
    log_p, y, _ = many(600, temperature=2.0)
    w = np.random.default_rng(1).uniform(0, 2, len(y))
    found = calibration.fit(method, log_p, y, w)
    t = calibration.fit_temperature(log_p, y, w).temperature
    u = log_p / t
    mean = np.average(u, axis=0, weights=w)
    spread = np.sqrt(np.average((u - mean) ** 2, axis=0, weights=w))
    v = (u - mean) / spread
    d = (np.array(found.matrix) * t - np.eye(3)) * spread
    b = np.array(found.bias) + d @ (mean / spread)

    def loss(d, b):
        return _penalised(u + v @ d.T + b, y, w, np.concatenate([d.ravel(), b]))

    least = loss(d, b)
    assert apply(found, log_p) == pytest.approx(tf.nn.softmax(u + v @ d.T + b).numpy())
    if method == "vector":
        assert np.count_nonzero(np.array(found.matrix) - np.diag(np.diag(found.matrix))) == 0
    rng = np.random.default_rng(2)
    for _ in range(50):
        step = rng.normal(0, 1e-3, (3, 3))
        step = np.diag(np.diag(step)) if method == "vector" else step
        assert loss(d + step, b + rng.normal(0, 1e-3, 3)) > least


def test_dirichlet_finds_the_map_that_distorted_the_probabilities():
    rng = np.random.default_rng(0)
    log_p = log_softmax(rng.normal(0, 1.5, (60_000, 3)) - [0, 1, 2])
    matrix, bias = np.array([[1.5, 0.3, 0.0], [0.0, 0.6, 0.2], [-0.2, 0.0, 1.0]]), [0.5, 0.0, -1.0]
    true = np.exp(log_softmax(log_p @ matrix.T + bias))
    y = (true.cumsum(axis=1) < rng.uniform(size=(len(true), 1))).sum(axis=1)
    found = apply(calibration.fit_dirichlet(log_p, y, np.ones(len(y))), log_p)
    assert np.abs(found - true).mean() < 0.005


def test_a_class_without_rows_on_val_keeps_a_probability():
    log_p, y, w = many(500)
    kept = y != 2
    for method in calibration.MULTICLASS:
        found = apply(calibration.fit(method, log_p[kept], y[kept], w[kept]), log_p)
        assert np.isfinite(found).all()
        assert found[:, 2].max() > 1e-4


def test_temperature_reaches_scores_that_lie_close_together():
    log_p, y, w = many(4000)
    flat = log_softmax(log_p * 0.002)  # mean votes of many members
    assert apply(calibration.fit_temperature(flat, y, w), flat) == pytest.approx(
        np.exp(log_p), abs=0.03
    )


def kinked(n, seed=0):
    """Scores of which only the upper part says anything; log p, label, weight."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1, n)
    true = -3 + 4 * np.maximum(z, 0) + 0.1 * z
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-true))).astype(np.int64)
    return log_softmax(np.stack([-z, z], axis=1) / 2), y, np.ones(n), 1 / (1 + np.exp(-true))


def test_spline_follows_a_kink_that_platt_cannot():
    log_p, y, w, _ = kinked(20_000)
    new, _, _, true = kinked(20_000, 1)
    spline, platt = (
        np.mean((apply(fit(log_p, y, w), new)[:, 1] - true) ** 2)
        for fit in (calibration.fit_spline, calibration.fit_platt)
    )
    assert spline < platt / 5
    assert spline < 2e-4
    assert calibration.simplest(calibration.BINARY, log_p, y, w)[0] == "spline"


@PROPERTY
@given(seed=st.integers(0, 10**6), n=st.integers(2, 300), scale=st.floats(1e-3, 100.0))
def test_spline_rises_strictly_and_depends_on_the_scale_of_scores_as_it_should(seed, n, scale):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=n), (np.arange(n) < max(1, n // 5)).astype(np.int64)
    log_p = log_softmax(np.stack([0 * z, z], axis=1))
    found = calibration.fit_spline(log_p, y, np.ones(n))
    assert min(found.slopes) > 0
    assert (np.diff(found.knots) > 0).all()
    ranks = apply(found, log_p)[np.argsort(z), 1]
    assert (np.diff(ranks) >= 0).all()
    scaled = log_softmax(np.stack([0 * z, scale * z], axis=1))
    again = apply(calibration.fit_spline(scaled, y, np.ones(n)), scaled)
    assert again == pytest.approx(apply(found, log_p), abs=1e-3)


def test_spline_stays_near_platt_where_platt_is_right():
    log_p, y, w = binary(20_000, 3)
    found = apply(calibration.fit_spline(log_p, y, w), log_p)
    assert found == pytest.approx(apply(calibration.fit_platt(log_p, y, w), log_p), abs=0.05)


def test_simplest_takes_the_simplest_that_is_not_beaten_beyond_chance():
    methods = [
        calibration.simplest(calibration.MULTICLASS, *many(2000, seed, 2.0))[0]
        for seed in range(10)
    ]
    assert methods.count("temperature") >= 8
    log_p, y, w = many(4000)
    biased = log_softmax(log_p * [0.3, 1.0, 2.0] + [2.0, 0.0, 0.0])
    method, losses = calibration.simplest(calibration.MULTICLASS, biased, y, w)
    assert method in ("vector", "dirichlet")
    assert losses[method] < losses["temperature"] - 0.01


@pytest.mark.parametrize("n", [300, 20_000])
def test_a_spline_s_fit_does_not_depend_on_the_order_of_rows(n):
    """Sums in another order differ in their last bits, as they do in another process."""
    log_p, y, w, _ = kinked(n)
    one = calibration.fit("spline", log_p, y, w)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(n)
        other = calibration.fit("spline", log_p[order], y[order], w[order])
        assert other.knots == one.knots
        np.testing.assert_allclose(other.slopes, one.slopes, rtol=1e-11)
        np.testing.assert_allclose(other.intercept, one.intercept, rtol=1e-11)


@pytest.mark.parametrize("method", ["platt", "spline", "isotonic", "vector", "dirichlet"])
def test_a_fit_is_the_same_with_any_number_of_threads(method):
    log_p, y, w = kinked(6000)[:3] if method in calibration.BINARY else many(6000)
    fitted = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            fitted.append(calibration.fit(method, log_p, y, w))
    assert fitted[0] == fitted[1]
