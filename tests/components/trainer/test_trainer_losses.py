"""Each loss against its paper's formula, its best scores against what the module says of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from tfx_imbalance.components.calibrator import prior
from tfx_imbalance.components.class_weights import ClassWeightParams, class_weights
from tfx_imbalance.components.trainer.losses import Loss, log_prior, relative_margins
from tfx_imbalance.components.trainer.params import LossParams

ROWS = np.array([900.0, 90.0, 10.0])
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (40, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, 40)


def make(name="cross_entropy", mass=ROWS, rows=ROWS, **options) -> Loss:
    return Loss(LossParams(name=name, **options), mass, rows)


def values(loss: Loss, logits=LOGITS, labels=LABELS) -> np.ndarray:
    return loss.call(tf.constant(labels), tf.constant(logits)).numpy()


def gradient(loss: Loss, logits=LOGITS, labels=LABELS) -> np.ndarray:
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(loss.call(tf.constant(labels), x))
    return tape.gradient(total, x).numpy()


def one_hot(labels=LABELS, n=3) -> np.ndarray:
    return np.eye(n)[labels]


def test_cross_entropy_and_its_gradient():
    expected = -log_softmax(LOGITS, axis=1)[np.arange(40), LABELS]
    np.testing.assert_allclose(values(make()), expected, rtol=1e-5)
    np.testing.assert_allclose(gradient(make()), softmax(LOGITS, axis=1) - one_hot(), atol=1e-5)


def test_cross_entropy_is_keras_own_to_the_bit():
    peer = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = RNG.exponential(size=40).astype(np.float32)
    mine = make()(LABELS, LOGITS, sample_weight=weights)
    assert float(mine) == float(peer(LABELS, LOGITS, sample_weight=weights))


def test_label_smoothing_is_szegedys_mixture_of_targets():
    got = values(make(label_smoothing=0.1))
    log_p = log_softmax(LOGITS, axis=1)
    for i, label in enumerate(LABELS):
        q = [0.9 * (k == label) + 0.1 / 3 for k in range(3)]
        assert got[i] == pytest.approx(-np.dot(q, log_p[i]), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_lins_equation_5(gamma):
    p_t = softmax(LOGITS.astype(float), axis=1)[np.arange(40), LABELS]
    expected = -((1 - p_t) ** gamma) * np.log(p_t)
    np.testing.assert_allclose(values(make("focal", gamma=gamma)), expected, rtol=1e-4, atol=1e-7)


def test_of_two_classes_focal_loss_has_lins_gradient():
    x = RNG.normal(0, 2, 30).astype(np.float32)
    logits = np.stack([np.zeros_like(x), x], axis=1)
    labels = RNG.integers(0, 2, 30)
    got = gradient(make("focal", ROWS[:2], ROWS[:2], gamma=2.0), logits, labels)[:, 1]
    y = 2 * labels - 1
    p_t = expit(y * x)
    expected = y * (1 - p_t) ** 2 * (2 * p_t * np.log(p_t) + p_t - 1)  # appendix B
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_smoothed_focal_loss_is_keras_own():
    peer = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=2.0, from_logits=True, label_smoothing=0.2, reduction="none"
    )
    mine = values(make("focal", gamma=2.0, label_smoothing=0.2))
    np.testing.assert_allclose(mine, np.asarray(peer(one_hot(), LOGITS)), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 2.0])
def test_focal_loss_has_a_slope_where_a_row_is_certain(gamma):
    certain = np.array([[100.0, -100.0, -100.0]], np.float32)
    slopes = [gradient(make("focal", gamma=gamma), certain, np.array([k])) for k in range(3)]
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[1], [[1, -1, 0]], atol=1e-4)


def test_logit_adjusted_loss_is_menons_equation_10():
    prior_shares = ROWS / ROWS.sum()
    got = values(make("logit_adjusted", tau=1.5))
    for i, label in enumerate(LABELS):
        e = np.exp(LOGITS[i] + 1.5 * np.log(prior_shares))
        assert got[i] == pytest.approx(-np.log(e[label] / e.sum()), rel=1e-4)


def test_ldam_is_caos_equation_13():
    got = values(make("ldam", max_margin=0.4, scale=5.0))
    c = 0.4 / (1 / 10**0.25)  # the smallest class has 10 rows
    for i, label in enumerate(LABELS):
        z = LOGITS[i] / 5.0
        margin = c / ROWS[label] ** 0.25
        up = np.exp(5.0 * (z[label] - margin))
        rest = sum(np.exp(5.0 * z[j]) for j in range(3) if j != label)
        assert got[i] == pytest.approx(-np.log(up / (up + rest)), rel=1e-4)


def test_ldam_margins_know_rows_not_class_weights():
    mine = make("ldam", mass=np.ones(3))
    np.testing.assert_array_equal(mine.offsets, make("ldam").offsets)


def test_a_class_without_rows_has_the_largest_margin():
    np.testing.assert_allclose(relative_margins(np.array([160.0, 10.0, 0.0])), [0.5, 1, 1])


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_effective_number_weights_make_the_class_balanced_loss(name):
    """Cui et al., eq. 6 and 9: (1 - beta) / (1 - beta^n_y) times the loss, up to a constant."""
    counts = dict(zip("abc", ROWS.astype(int).tolist(), strict=True))
    params = ClassWeightParams(scheme="effective_number", beta=0.99)
    weights = np.array(list(class_weights(counts, params).values()))
    p_t = softmax(LOGITS.astype(float), axis=1)[np.arange(40), LABELS]
    plain = (1 - p_t) ** (2.0 if name == "focal" else 0.0) * -np.log(p_t)
    expected = (1 - 0.99) / (1 - 0.99 ** ROWS[LABELS]) * plain
    got = values(make(name)) * weights[LABELS]
    np.testing.assert_allclose(got / expected, (got / expected)[0], rtol=1e-4)


def test_losses_that_move_no_prior_have_no_factors():
    for loss in (make(), make("focal", gamma=0.0), make("logit_adjusted", tau=0.0)):
        assert loss.kind == "none" and (loss.factors == 1).all()
    for loss in (make(label_smoothing=0.1), make("focal"), make("ldam")):
        assert loss.kind == "approximate" and (loss.factors == 1).all()
    assert make("logit_adjusted", label_smoothing=0.1).kind == "approximate"


# A world of places with known posteriors, and a network that has scores for each.
PLACES = np.array([[0.9, 0.08, 0.02], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0.98, 0.01, 0.01]])
OFTEN = np.array([0.4, 0.1, 0.05, 0.45])


def best(loss: Loss, posterior=PLACES, often=OFTEN, weights=None) -> np.ndarray:
    """float64 [places, n_classes]: the scores of the least expected loss."""
    m, n = posterior.shape
    mass = often[:, None] * posterior * (1 if weights is None else weights)
    each = np.repeat(np.arange(m), n)
    labels = np.tile(np.arange(n), m)
    mass = tf.constant(mass.ravel() / mass.sum(), tf.float32)

    def risk(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = tf.constant(flat.reshape(m, n), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(mass * loss.call(labels, tf.gather(x, each)))
        slope = tf.convert_to_tensor(tape.gradient(total, x))
        return float(total), slope.numpy().astype(float).ravel()

    found = minimize(risk, np.zeros(m * n), jac=True, method="BFGS", options={"gtol": 1e-6})
    return found.x.reshape(m, n)


def test_the_prior_correction_undoes_logit_adjustment():
    shares = OFTEN @ PLACES
    loss = make("logit_adjusted", mass=shares, tau=1.0)
    assert loss.kind == "prior_only"
    raw = best(loss)
    corrected = np.exp(prior.correct(tf.constant(raw), loss.factors).numpy())
    np.testing.assert_allclose(corrected, PLACES, atol=5e-3)
    np.testing.assert_allclose(OFTEN @ corrected, shares, rtol=0.02)
    # As trained, they are the posteriors of evenly frequent classes.
    even = PLACES / shares
    even /= even.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(raw, axis=1), even, atol=5e-3)


def test_with_class_weights_both_factors_are_undone():
    weights = np.array([0.5, 2.0, 8.0])
    mass = weights * (OFTEN @ PLACES)
    loss = make("logit_adjusted", mass=mass, tau=0.5)
    raw = best(loss, weights=weights)
    corrected = np.exp(prior.correct(tf.constant(raw), weights * loss.factors).numpy())
    np.testing.assert_allclose(corrected, PLACES, atol=5e-3)


def test_balanced_weights_leave_logit_adjustment_nothing_to_do():
    assert np.ptp(make("logit_adjusted", mass=np.full(3, 7.0)).factors) == 0


def test_smoothed_scores_are_the_mixture_that_the_module_names():
    got = softmax(best(make(label_smoothing=0.1)), axis=1)
    np.testing.assert_allclose(got, 0.9 * PLACES + 0.1 / 3, atol=5e-3)


def test_focal_scores_are_less_sure_and_the_papers_map_leads_back():
    gamma = 2.0
    q = softmax(best(make("focal", gamma=gamma)), axis=1)
    assert (q.max(axis=1) < PLACES.max(axis=1))[[0, 1, 3]].all()
    phi = (1 - q) ** gamma - gamma * (1 - q) ** (gamma - 1) * q * np.log(q)
    back = q / phi
    np.testing.assert_allclose(back / back.sum(axis=1, keepdims=True), PLACES, atol=0.01)


def test_ldam_scores_have_the_odds_that_the_module_names():
    rows = np.array([1000.0, 30.0])
    loss = Loss(LossParams(name="ldam", max_margin=0.5, scale=4.0), rows, rows)
    p = np.array([0.02, 0.1, 0.3, 0.5, 0.9])
    f = best(loss, np.stack([1 - p, p], axis=1), np.full(5, 0.2))
    g, (m0, m1) = f[:, 1] - f[:, 0], -np.diag(loss.offsets)
    np.testing.assert_allclose(expit(g + m0) / expit(m1 - g), p / (1 - p), rtol=0.02)


def test_log_prior_is_finite_for_a_class_without_weight():
    assert np.isfinite(log_prior(np.array([1.0, 0.0]))).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 1.0}, "gamma: loss cross_entropy does not read it; focal does"),
        ({"name": "focal", "tau": 0.5}, "tau: loss focal does not read it; logit_adjusted does"),
        ({"name": "logit_adjusted", "scale": 3.0}, "scale: loss logit_adjusted does not read it"),
        (
            {"name": "ldam", "label_smoothing": 0.1},
            "label_smoothing: loss ldam does not read it; cross_entropy, focal, logit_adjusted do",
        ),
    ],
)
def test_an_option_that_the_loss_does_not_read_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        LossParams(**given)
