"""Maps from prior-corrected to calibrated probabilities, fitted on val.

A map is called on log p, float64 [n, n_classes], and returns probabilities of that shape. It is
written with TensorFlow alone, so what is fitted here is what the exported graph runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ..errors import UserError
from ..metrics import ECE_BINS, Scores, ece, equal_mass_bins
from ..report import Kind
from .params import Method

BINARY: tuple[Method, ...] = ("platt", "spline")
MULTICLASS: tuple[Method, ...] = ("temperature", "vector", "dirichlet")
"""What `choose` has to choose from, the simplest first."""
FOLDS = 5
_ROWS_TO_CHOOSE = 50_000  # more tell the methods apart no better
_KNOTS, _ROWS_A_KNOT = 20, 10
_LEAST_SLOPE = 1e-3
_SLOPE_STEP = 3.0
_NEWTON_STEPS = 3  # each squares the error
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
class Spline:
    """p = sigmoid(f(z)), f rising and linear between knots, z the difference of the two logits.

    Attributes:
      knots: [m] of z, rising.
      slopes: [m + 1], all above 0, of the pieces.
      intercept: f at the first knot.
    """

    method: ClassVar[Method] = "spline"
    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    intercept: float

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        pieces = self.pieces(log_p[:, 1] - log_p[:, 0], self.knots)
        z = tf.linalg.matvec(pieces, tf.constant(self.slopes, tf.float64)) + self.intercept
        return tf.stack([tf.sigmoid(-z), tf.sigmoid(z)], axis=1)

    @staticmethod
    def pieces(z: tf.Tensor, knots: Sequence[float]) -> tf.Tensor:
        """float64 [n, m + 1]: how far each z goes along each piece, from the first knot on."""
        ends = [-np.inf, *knots], [*knots, np.inf], [knots[0], *knots]
        low, high, start = (tf.constant(end, tf.float64) for end in ends)
        return tf.minimum(tf.maximum(z[:, None], low), high) - start


@dataclass(frozen=True)
class Temperature:
    """p = softmax(logits / temperature)."""

    method: ClassVar[Method] = "temperature"
    temperature: float

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(log_p / self.temperature, axis=1)


@dataclass(frozen=True)
class Linear:
    """p = softmax(matrix @ log p + bias): vector scaling, where the matrix is diagonal, or
    Dirichlet calibration.

    Attributes:
      method: which.
      matrix: [n_classes][n_classes].
      bias: [n_classes].
    """

    method: Method
    matrix: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    def __call__(self, log_p: tf.Tensor) -> tf.Tensor:
        matrix, bias = (tf.constant(part, tf.float64) for part in (self.matrix, self.bias))
        return tf.nn.softmax(tf.matmul(log_p, matrix, transpose_b=True) + bias, axis=1)


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


Map = Uncalibrated | Platt | Spline | Temperature | Linear | Isotonic


def fit(method: Method, log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Map:
    """Fits the map of one method.

    Args:
      method: which.
      log_p: float64 [n, n_classes], prior-corrected.
      labels: int64 [n]. For platt and spline both classes have rows.
      weights: float64 [n], sample weights.

    Raises:
      UserError: platt or spline on more than two classes.
    """
    if method in BINARY and log_p.shape[1] != 2:
        raise UserError(
            f"calibrate.method: {method} is for two classes, found {log_p.shape[1]}; "
            "choose auto, temperature, vector, dirichlet, isotonic or none"
        )
    fits: dict[str, Callable[..., Map]] = {
        "none": lambda *_: Uncalibrated(),
        "platt": fit_platt,
        "spline": fit_spline,
        "temperature": fit_temperature,
        "vector": fit_vector,
        "dirichlet": fit_dirichlet,
        "isotonic": fit_isotonic,
    }
    # Sums of several threads differ in their last bits, which the search makes more of.
    with threadpool_limits(limits=1):
        return fits[method](log_p, labels, weights)


def fit_platt(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Platt:
    """Platt scaling with smoothed targets; arguments as of `fit`.

    Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2.
    """
    target = _platts_targets(labels, weights)
    z = log_p[:, 1] - log_p[:, 0]
    # A soft target is one row of each class with that share of the weight.
    both = np.concatenate([z, z])[:, None]
    of = np.repeat([1, 0], len(z))
    share = np.concatenate([weights * target, weights * (1 - target)])
    model = LogisticRegression(C=1e10, solver="newton-cholesky", tol=1e-9, max_iter=200)
    model.fit(both, of, sample_weight=share)
    return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]))


def fit_spline(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Spline:
    """A rising linear spline of the log odds, by likelihood; arguments as of `fit`.

    Knots are quantiles of the smaller class's scores, where rare classes are told apart. The
    targets are Platt's. With z scaled to deviation 1, steps from one slope to the next have a
    priori mean 0 and deviation 3, and no slope is below 0.001: unlike isotonic regression it keeps
    every row's rank.

    Source: Lucena, "Spline-Based Probability Calibration", arXiv:1809.07751, whose natural cubic
    splines need not rise.
    """
    z = log_p[:, 1] - log_p[:, 0]
    scale = max(float(np.sqrt(np.cov(z, aweights=weights, ddof=0))), 1e-12)
    rare = z[labels == int(weights[labels == 1].sum() <= weights[labels == 0].sum())]
    rare = rare if len(rare) else z
    count = int(np.clip(len(rare) // _ROWS_A_KNOT, 1, _KNOTS))
    knots = np.unique(np.quantile(rare, np.linspace(0, 1, count + 2)[1:-1]))
    pieces = Spline.pieces(tf.constant(z / scale), (knots / scale).tolist()).numpy()
    design = np.concatenate([np.ones((len(z), 1)), pieces], axis=1)  # by intercept and slopes
    steps = np.diff(np.eye(design.shape[1]), axis=0)[1:] / _SLOPE_STEP  # from slope to slope
    target = _platts_targets(labels, weights)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        f, step = design @ x, steps @ x
        value = weights @ (np.logaddexp(0, f) - target * f) + step @ step / 2
        return float(value), (weights * (expit(f) - target)) @ design + step @ steps

    lowest = np.array([-np.inf] + [_LEAST_SLOPE] * pieces.shape[1])
    bounds = [(least, None) for least in lowest]
    options = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-5}
    start = np.concatenate([[0.0], np.ones(pieces.shape[1])])
    x = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    # Where the search stops hangs on the last bits of its sums; Newton's method goes to the end.
    for _ in range(_NEWTON_STEPS):
        _, gradient = loss(x)
        p = expit(design @ x)
        hessian = design.T @ (design * (weights * p * (1 - p))[:, None]) + steps.T @ steps
        free = (x > lowest) | (gradient < 0)
        x[free] -= np.linalg.lstsq(hessian[np.ix_(free, free)], gradient[free], rcond=None)[0]
        x = np.maximum(x, lowest)
    return Spline(tuple(knots.tolist()), tuple((x[1:] / scale).tolist()), float(x[0]))


def _platts_targets(labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    positive, negative = (weights[labels == k].sum() for k in (1, 0))
    return np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))


def fit_temperature(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Temperature:
    """Temperature scaling, by likelihood; arguments as of `fit`.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_p / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        of_label = scaled[np.arange(len(labels)), labels]
        return float(weights @ (np.log(np.exp(scaled).sum(axis=1)) - of_label))

    # Ensembles' mean votes can need a thousandth.
    found = minimize_scalar(loss, bounds=(-12, 12), method="bounded", options={"xatol": 1e-8})
    return Temperature(float(np.exp(found.x)))


def fit_vector(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Linear:
    """Vector scaling, a slope and a bias a class; arguments as of `fit`.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    return _fit_linear("vector", log_p, labels, weights)


def fit_dirichlet(log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Linear:
    """Dirichlet calibration, a whole matrix; arguments as of `fit`.

    Source: Kull et al., "Beyond temperature scaling: Obtaining well-calibrated multiclass
    probabilities with Dirichlet calibration", NeurIPS 2019, equation 3 (linear parametrisation).
    """
    return _fit_linear("dirichlet", log_p, labels, weights)


def _fit_linear(
    method: Literal["vector", "dirichlet"],
    log_p: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
) -> Linear:
    """By likelihood, with a normal prior about temperature scaling.

    With u = log p / temperature, v = u less its mean, by its deviation over the rows, and D of the
    method's form, the logits are u + D v + b: each entry of D and b has a priori mean 0 and
    deviation 1. So a class with few rows or none on val stays near what temperature scaling says.
    """
    classes = log_p.shape[1]
    temperature = fit_temperature(log_p, labels, weights).temperature
    u = log_p / temperature
    mean = np.average(u, axis=0, weights=weights)
    spread = np.sqrt(np.average((u - mean) ** 2, axis=0, weights=weights))
    inverse = np.divide(1, spread, out=np.zeros(classes), where=spread > 1e-12)
    v = (u - mean) * inverse
    rows, truth = np.arange(len(labels)), np.eye(classes)[labels]

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        head, bias = x[:-classes], x[-classes:]
        return np.diag(head) if method == "vector" else head.reshape(classes, classes), bias

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        matrix, bias = parts(x)
        log_q = log_softmax(u + v @ matrix.T + bias, axis=1)
        residual = (np.exp(log_q) - truth) * weights[:, None]
        slope = residual.T @ v
        gradient = np.diag(slope) if method == "vector" else slope.ravel()
        value = x @ x / 2 - weights @ log_q[rows, labels]
        return float(value), np.concatenate([gradient, residual.sum(axis=0)]) + x

    size = classes * (2 if method == "vector" else classes + 1)
    options = {"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-5}
    found = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options=options)
    matrix, bias = parts(found.x)
    scaled = matrix * inverse
    return Linear(
        method,
        tuple(map(tuple, ((np.eye(classes) + scaled) / temperature).tolist())),
        tuple((bias - scaled @ mean).tolist()),
    )


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

    Only a parametric map is considered (that of BINARY or MULTICLASS which `simplest` finds), and
    only for a deviation that is more than chance on this val: always where p(x|y) was changed; else
    where ECE is above max_ece (after subtracting chance, in squares) and two standard errors above
    what perfect probabilities show on as many rows, or (two classes of at least 100 rows) where the
    mean score misses the prevalence by more than two standard errors.

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
    platt = fit("platt", log_p, labels, weights) if binary else None
    if isinstance(platt, Platt) and platt.slope <= 0:
        return Uncalibrated(), f"{why}, but the scores on val do not rise with the positive class"
    method, losses = simplest(BINARY if binary else MULTICLASS, log_p, labels, weights)
    told = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
    return fit(method, log_p, labels, weights), f"{why}; log loss in {FOLDS} folds of val: {told}"


def simplest(
    methods: Sequence[Method], log_p: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[Method, dict[Method, float]]:
    """The first method whose log loss is within two standard errors of the lowest.

    The loss is that of rows left out, in folds that share each class evenly; the error is of the
    mean difference, row by row. Other arguments as of `fit`.

    Source: Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3, where
    it is one standard error.

    Returns:
      The method, and each one's mean log loss in nats.
    """
    order = np.argsort(labels, kind="stable")
    order = order[:: -(-len(order) // _ROWS_TO_CHOOSE)]
    log_p, labels, weights = log_p[order], labels[order], weights[order]
    fold = np.arange(len(labels)) % FOLDS
    losses = {method: np.zeros(len(labels)) for method in methods}
    for k in range(FOLDS):
        out = fold == k
        if not weights[~out].sum() > 0:
            continue  # nothing to fit on: all weight is in one fold
        for method, loss in losses.items():
            fitted = fit(method, log_p[~out], labels[~out], weights[~out])
            p = fitted(tf.constant(log_p[out])).numpy()[np.arange(out.sum()), labels[out]]
            loss[out] = -np.log(np.maximum(p, np.finfo(np.float64).tiny))
    share = weights / weights.sum()
    means = {method: float(share @ loss) for method, loss in losses.items()}
    best = min(methods, key=means.__getitem__)
    for method in methods:
        worse = losses[method] - losses[best]
        mean = means[method] - means[best]
        if mean <= 2 * np.sqrt((share**2 * (worse - mean) ** 2).sum()):
            return method, means
    return best, means


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
