"""Maps from prior-corrected to calibrated probabilities, fitted on val.

A map is called on log p, float64 [n, n_classes], and returns probabilities of that shape. It is
written with TensorFlow alone, so what is fitted here is what the exported graph runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ..errors import UserError
from ..metrics import ECE_BINS, Scores, ece, equal_mass_bins
from ..report import Kind

Method = Literal["none", "platt", "isotonic", "temperature"]
_ROWS_FOR_MEAN = 100  # of each class; fewer say too little of the mean where splits are not exact


@dataclass(frozen=True)
class Uncalibrated:
    """Leaves the probabilities as they are."""

    method: ClassVar[Method] = "none"

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        return tf.exp(log_p)


@dataclass(frozen=True)
class Platt:
    """p = sigmoid(slope * z + intercept), z the difference of the two logits."""

    method: ClassVar[Method] = "platt"
    slope: float
    intercept: float

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        z = self.slope * (log_p[:, 1] - log_p[:, 0]) + self.intercept
        return tf.stack([tf.sigmoid(-z), tf.sigmoid(z)], axis=1)


@dataclass(frozen=True)
class Temperature:
    """p = softmax(logits / temperature)."""

    method: ClassVar[Method] = "temperature"
    temperature: float

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(log_p / self.temperature, axis=1)


@dataclass(frozen=True)
class Isotonic:
    """A rising, piecewise linear function of each class's probability, then normalised.

    Two classes have one function, of the positive class.
    """

    method: ClassVar[Method] = "isotonic"
    knots: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    """For each function its x, strictly rising, and its y."""

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        p = tf.exp(log_p)
        if len(self.knots) == 1:
            positive = _interpolate(p[:, 1], *self.knots[0])
            return tf.stack([1 - positive, positive], axis=1)
        columns = [_interpolate(p[:, k], x, y) for k, (x, y) in enumerate(self.knots)]
        stacked = tf.stack(columns, axis=1)
        return stacked / tf.reduce_sum(stacked, axis=1, keepdims=True)


Map = Uncalibrated | Platt | Temperature | Isotonic


def fit(method: Method, log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Map:
    """Fits the map of one method.

    Args:
      method: which.
      log_p: float64 [n, n_classes], prior-corrected.
      labels: int64 [n]. For platt both classes have rows.
      weights: float64 [n], sample weights.

    Raises:
      UserError: platt on more than two classes.
    """
    if method == "platt" and log_p.shape[1] != 2:
        raise UserError(
            f"calibrate.method: platt is for two classes, found {log_p.shape[1]}; "
            "choose auto, temperature, isotonic or none"
        )
    fits: dict[str, Callable[..., Map]] = {
        "none": lambda *_: Uncalibrated(),
        "platt": fit_platt,
        "temperature": fit_temperature,
        "isotonic": fit_isotonic,
    }
    return fits[method](log_p, labels, weights)


def fit_platt(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Platt:
    """Platt scaling with smoothed targets; arguments as of `fit`.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2.
    """
    positive, negative = (weights[labels == k].sum() for k in (1, 0))
    target = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    z = log_p[:, 1] - log_p[:, 0]
    # A soft target is one row of each class with that share of the weight.
    both = np.concatenate([z, z])[:, None]
    of = np.repeat([1, 0], len(z))
    share = np.concatenate([weights * target, weights * (1 - target)])
    model = LogisticRegression(C=1e10, solver="newton-cholesky", tol=1e-9, max_iter=200)
    model.fit(both, of, sample_weight=share)
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))


def fit_temperature(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Temperature:
    """Temperature scaling, by likelihood; arguments as of `fit`.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_p / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        of_label = scaled[np.arange(len(labels)), labels]
        return float(weights @ (np.log(np.exp(scaled).sum(axis=1)) - of_label))

    found = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8})
    return Temperature(float(np.exp(found.x)))


def fit_isotonic(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Isotonic:
    """Isotonic regression, one-vs-rest for more than two classes; arguments as of `fit`.

    No probability leaves [1 / (n + 2), 1 - 1 / (n + 2)] for n rows (Laplace): n rows prove
    neither 0 nor 1. A class without rows keeps its probability.

    Source: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass
    Probability Estimates", KDD 2002.
    """
    n_classes = log_p.shape[1]
    least = 1 / (len(labels) + 2)
    knots = []
    for k in [1] if n_classes == 2 else range(n_classes):
        truth = labels == k
        if not weights[truth].sum() > 0:
            knots.append(((0.0, 1.0), (0.0, 1.0)))
            continue
        model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        model.fit(np.exp(log_p[:, k]), truth, sample_weight=weights)
        knots.append((tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist())))
    return Isotonic(tuple(knots))


def choose(
    log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray, kind: Kind, max_ece: float
) -> tuple[Map, str]:
    """Decides whether to calibrate, and says why: `method: auto`.

    Only a parametric map is considered (two parameters or one), and only for a deviation that is
    more than chance on this val: always where p(x|y) was changed; else where ECE is above max_ece
    (after subtracting chance, in squares) and two standard errors above what perfect probabilities
    show on as many rows, or (two classes of at least 100 rows) where the mean score misses the
    prevalence by more than two standard errors.

    Args:
      log_p, labels, weights: as of `fit`.
      kind: what training did to the prior.
      max_ece: highest ECE that is left alone.

    Returns:
      The map and the reason, one sentence.
    """
    binary = log_p.shape[1] == 2
    scores = _scores(log_p, labels, weights)
    found = ece(scores)
    chance, error = ece_by_chance(scores.probabilities, weights)
    measured = f"ECE on val {found:.4f}, of which chance explains about {chance:.4f}"
    if kind == "approximate":
        why = "the rebalancing changed p(x|y), which no prior correction undoes"
    elif found > max(chance + 2 * error, np.hypot(chance, max_ece)):
        why = f"{measured}, is above max_ece {max_ece:g}"
    elif binary and (gap := _mean_gap(scores)) is not None:
        why = f"the mean score on val misses the prevalence by {gap:+.2%} of it"
    else:
        return Uncalibrated(), f"{measured}: nothing to calibrate at max_ece {max_ece:g}"
    fitted = fit("platt" if binary else "temperature", log_p, labels, weights)
    if isinstance(fitted, Platt) and fitted.slope <= 0:
        return Uncalibrated(), f"{why}, but the scores on val do not rise with the positive class"
    return fitted, why


def ece_by_chance(probabilities: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """About the ECE of perfectly calibrated probabilities on this many rows, and its error.

    With s the standard error of a bin's share, |N(0, s)| has the mean s sqrt(2 / pi) and the
    variance s^2 (1 - 2 / pi). The classes' ECEs are averaged as if they rose and fell together.

    Args:
      probabilities: float64 [n, n_classes].
      weights: float64 [n], sample weights.

    Returns:
      Mean and standard deviation.
    """
    found = []
    for p in probabilities.T:
        index = equal_mass_bins(p, weights, ECE_BINS)
        squares = np.bincount(index, weights**2 * p * (1 - p)) / weights.sum() ** 2
        found.append((np.sqrt(2 / np.pi * squares).sum(), np.sqrt((1 - 2 / np.pi) * squares.sum())))
    mean, error = np.mean(found, axis=0)
    return float(mean), float(error)


def _mean_gap(scores: Scores) -> float | None:
    """Mean score by prevalence less 1 if it is more than chance, else None.

    The classes' shares count as given, since splits are stratified: only the scores vary.
    """
    if np.bincount(scores.labels, minlength=2).min() < _ROWS_FOR_MEAN:
        return None
    weights, positive = scores.weights / scores.weights.sum(), scores.probabilities[:, 1]
    variance = 0.0
    for k in (0, 1):
        of = weights[scores.labels == k]
        p = positive[scores.labels == k]
        variance += (of**2 * (p - np.average(p, weights=of)) ** 2).sum()
    prevalence = weights[scores.labels == 1].sum()
    gap = weights @ positive - prevalence
    return float(gap / prevalence) if abs(gap) > 2 * np.sqrt(variance) else None


def _scores(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Scores:
    probabilities = np.exp(log_p)
    classes = tuple(str(k) for k in range(log_p.shape[1]))
    return Scores("val", labels, probabilities, probabilities.argmax(axis=1), weights, classes)


def _interpolate(x: tf.Tensor, xs: tuple[float, ...], ys: tuple[float, ...]) -> tf.Tensor:
    """np.interp in a graph: piecewise linear, constant outside."""
    if len(xs) == 1:
        return tf.fill(tf.shape(x), tf.constant(ys[0], tf.float64))
    knots, values = tf.constant(xs, tf.float64), tf.constant(ys, tf.float64)
    right = tf.clip_by_value(tf.searchsorted(knots, x, side="right"), 1, len(xs) - 1)
    x0, x1 = tf.gather(knots, right - 1), tf.gather(knots, right)
    y0, y1 = tf.gather(values, right - 1), tf.gather(values, right)
    # TensorFlow flushes subnormal numbers to 0: two knots can be closer than it can tell.
    share = tf.clip_by_value(tf.math.divide_no_nan(x - x0, x1 - x0), 0.0, 1.0)
    return y0 + share * (y1 - y0)
