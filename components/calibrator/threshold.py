"""The operating point: from calibrated probabilities to a decision, chosen on val."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ..errors import UserError
from .params import ThresholdParams

BINARY_ONLY = ("recall_at_precision", "precision_at_recall")
_PATH = "calibrate.threshold"
_ROUNDS = 20


@dataclass(frozen=True)
class OperatingPoint:
    """The rule and what it reaches on val.

    Attributes:
      threshold: two classes: positive where the probability is at least this; else None.
      matrix: float64 [n_classes, n_classes] M; the decision is the arg max of probabilities @ M.
      objective: the objective in words.
      value: the objective on val; NaN where it is undefined.
      warnings: what did not go as asked.
    """

    threshold: float | None
    matrix: np.ndarray
    objective: str
    value: float
    warnings: tuple[str, ...] = field(default=())

    def decide(self, probabilities: tf.Tensor) -> tf.Tensor:
        """int64 [n], class index, from float32 [n, n_classes] as published. Works in a graph."""
        p = tf.cast(probabilities, tf.float64)
        if self.threshold is not None:
            return tf.cast(p[:, 1] >= self.threshold, tf.int64)
        return tf.argmax(tf.linalg.matmul(p, tf.constant(self.matrix, tf.float64)), axis=1)


def check(params: ThresholdParams, classes: Sequence[str]) -> None:
    """Refuses what cannot be done with these classes, before anything is computed.

    Raises:
      UserError: an objective for two classes on more, or a cost matrix that does not fit.
    """
    if params.objective in BINARY_ONLY and len(classes) != 2:
        raise UserError(
            f"{_PATH}.objective: {params.objective} is for two classes, found {len(classes)}; "
            "choose f_beta, expected_cost or balanced_accuracy"
        )
    if params.objective == "expected_cost":
        cost_matrix(params, classes)


def cost_matrix(params: ThresholdParams, classes: Sequence[str]) -> np.ndarray:
    """float64 [n_classes, n_classes]: cost by true class and decision; the diagonal's default is 0.

    Raises:
      UserError: a cost is missing or not finite, or a class unknown.
    """
    path = f"{_PATH}.cost_matrix"
    named = {*params.cost_matrix, *(name for row in params.cost_matrix.values() for name in row)}
    if unknown := sorted(named - set(classes)):
        raise UserError(f"{path}: unknown class {unknown[0]!r}; classes are {list(classes)}")
    costs = np.zeros((len(classes), len(classes)))
    for i, true in enumerate(classes):
        for j, decided in enumerate(classes):
            cost = params.cost_matrix.get(true, {}).get(decided, 0.0 if i == j else None)
            if cost is None or not np.isfinite(cost):
                raise UserError(
                    f"{path}.{true}.{decided}: needs the cost of deciding {decided!r} where "
                    f"{true!r} is true, a finite number, found {cost}"
                )
            costs[i, j] = cost
    return costs


def choose(
    params: ThresholdParams,
    probabilities: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
) -> OperatingPoint:
    """Finds the operating point that is best for the objective on val.

    Two classes: exactly the best of all thresholds, by one sort and a sweep over the midpoints
    of neighbouring scores; among equals the highest threshold. More classes: the Bayes decision
    for the cost matrix (Elkan 2001) or the balanced accuracy (probabilities by the prior), and
    for f_beta class weights by coordinate ascent on macro F-beta, never worse than the arg max.

    Args:
      params: the objective.
      probabilities: float32 [n, n_classes], as published.
      labels: int64 [n], true class index.
      weights: float64 [n], sample weights.
      classes: class names in index order.

    Raises:
      UserError: as of `check`.
    """
    check(params, classes)
    p = probabilities.astype(np.float64)
    if len(classes) == 2:
        return _binary(params, p[:, 1], labels, weights, classes)
    if params.objective == "expected_cost":
        costs = cost_matrix(params, classes)
        chosen = costs[labels, (p @ -costs).argmax(axis=1)]
        return OperatingPoint(
            None, -costs, objective_text(params), float(np.average(chosen, weights=weights))
        )
    present = np.bincount(labels, weights, minlength=len(classes)) > 0
    if params.objective == "balanced_accuracy":
        # The mean score stands for the prior: they agree where calibrated, and it is never 0.
        factors = 1 / np.maximum(np.average(p, axis=0, weights=weights), np.finfo(float).tiny)
        value = _recalls((p * factors).argmax(axis=1), labels, weights, len(classes))[present]
        return OperatingPoint(None, np.diag(factors), objective_text(params), float(value.mean()))
    factors, best = macro_f_weights(p, labels, weights, params.beta)
    return OperatingPoint(None, np.diag(factors), objective_text(params), best)


def objective_text(params: ThresholdParams) -> str:
    """The objective in words, such as 'f_beta (beta = 1)'."""
    detail = {
        "f_beta": f" (beta = {params.beta:g})",
        "recall_at_precision": f" (precision >= {params.precision})",
        "precision_at_recall": f" (recall >= {params.recall})",
    }
    return params.objective + detail.get(params.objective, "")


def _binary(
    params: ThresholdParams,
    positive: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
) -> OperatingPoint:
    text = objective_text(params)
    totals = np.bincount(labels, weights, minlength=2)
    if not totals.all():
        missing = classes[int(totals.argmin())]
        warning = (
            f"val has no row of class {missing!r}: the threshold is 0.5, not chosen for {text}"
        )
        return OperatingPoint(0.5, threshold_matrix(0.5), text, float("nan"), (warning,))
    thresholds, tp, fp = sweep(positive, labels, weights)
    fn, tn = totals[1] - tp, totals[0] - fp
    recall = tp / totals[1]
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=tp + fp > 0)
    warnings: tuple[str, ...] = ()
    if params.objective == "f_beta":
        squared = params.beta**2
        value = (1 + squared) * tp / ((1 + squared) * tp + squared * fn + fp)
        best = _best(value)
    elif params.objective == "balanced_accuracy":
        value = (recall + tn / totals[0]) / 2
        best = _best(value)
    elif params.objective == "expected_cost":
        (c00, c01), (c10, c11) = cost_matrix(params, classes)
        value = (tn * c00 + fp * c01 + fn * c10 + tp * c11) / totals.sum()
        best = _best(-value)
    else:
        at_precision = params.objective == "recall_at_precision"
        value, bounded = (recall, precision) if at_precision else (precision, recall)
        bound = params.precision if at_precision else params.recall
        assert bound is not None  # ThresholdParams saw to it
        reached = bounded >= bound - 1e-12
        if reached.any():
            best = _best(np.where(reached, value, -1.0), bounded)
        else:
            best = _best(bounded, value)
            name = "precision" if at_precision else "recall"
            warnings = (
                f"no threshold reaches {name} {bound:g} on val: the closest, "
                f"{thresholds[best]:.4g}, has {name} {bounded[best]:.4g}",
            )
    threshold = float(thresholds[best])
    return OperatingPoint(
        threshold, threshold_matrix(threshold), text, float(value[best]), warnings
    )


def threshold_matrix(threshold: float) -> np.ndarray:
    """float64 [2, 2] M such that the arg max of [1 - p, p] @ M is 1 where p > threshold."""
    return np.diag([threshold, 1 - threshold])


def sweep(
    positive: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every distinct decision rule 'score >= threshold', by falling threshold. O(n log n).

    Args:
      positive: float64 [n], in [0, 1].
      labels: int64 [n], 1 is positive.
      weights: float64 [n].

    Returns:
      thresholds, weight of true positives, weight of false positives: float64 [m + 1] for m
      distinct scores. The first rule selects no row, the last all; a threshold lies halfway
      between neighbouring scores.
    """
    scores, inverse = np.unique(positive, return_inverse=True)
    hits, alarms = (
        np.bincount(inverse, weights * (labels == k), minlength=len(scores))[::-1] for k in (1, 0)
    )
    none = (scores[-1] + 1) / 2 if scores[-1] < 1 else np.nextafter(1.0, 2.0)
    thresholds = np.concatenate([[scores[0] / 2], (scores[1:] + scores[:-1]) / 2, [none]])
    return (
        thresholds[::-1],
        np.concatenate([[0.0], np.cumsum(hits)]),
        np.concatenate([[0.0], np.cumsum(alarms)]),
    )


def macro_f_weights(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, beta: float
) -> tuple[np.ndarray, float]:
    """Class weights for 'arg max of p_k w_k' that raise macro F-beta, and its value.

    Coordinate ascent from ones: for one class at a time the best weight is found exactly, since
    each row goes over to the class at one known weight. Deterministic; ends where no class's
    weight improves the value. The mean is over classes that have rows. O(n n_classes^2) a round.

    Args:
      probabilities: float64 [n, n_classes].
      labels: int64 [n].
      weights: float64 [n], sample weights.
      beta: of F-beta.
    """
    n_classes = probabilities.shape[1]
    factors = np.ones(n_classes)
    best = macro_f(probabilities.argmax(axis=1), labels, weights, n_classes, beta)
    for _ in range(_ROUNDS):
        before = best
        for k in range(n_classes):
            trial = factors.copy()
            trial[k] = _best_factor(probabilities, factors, k, labels, weights, beta)
            chosen = (probabilities * trial).argmax(axis=1)
            value = macro_f(chosen, labels, weights, n_classes, beta)
            if value > best + 1e-12:
                factors, best = trial, value
        if best == before:
            break
    return factors, best


def macro_f(
    decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray, n_classes: int, beta: float
) -> float:
    """Mean F-beta over the classes that have rows."""
    actual = np.bincount(labels, weights, n_classes)
    chosen = np.bincount(decisions, weights, n_classes)
    hits = np.bincount(labels, weights * (decisions == labels), n_classes)
    present = actual > 0
    return float(_f_beta(hits, chosen, actual, beta)[present].mean())


def _best_factor(
    p: np.ndarray,
    factors: np.ndarray,
    k: int,
    labels: np.ndarray,
    weights: np.ndarray,
    beta: float,
) -> float:
    """The weight of class k, others' fixed, with the highest macro F-beta."""
    n_classes = p.shape[1]
    others = p * factors
    others[:, k] = -1.0
    rival = others.argmax(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        turns = others.max(axis=1) / p[:, k]  # class k wins a row where its weight is above this
    turns = np.where(p[:, k] > 0, turns, np.inf)
    order = np.argsort(turns, kind="stable")
    turns, y, w, rival = turns[order], labels[order], weights[order], rival[order]

    total = np.zeros(len(y) + 1)
    actual = np.bincount(labels, weights, n_classes)
    for c in np.flatnonzero(actual > 0):
        moves = np.full(len(y), True) if c == k else rival == c
        hits, chosen = (
            np.concatenate([[0.0], np.cumsum(w * rows)]) for rows in (moves & (y == c), moves)
        )
        if c != k:
            hits, chosen = hits[-1] - hits, chosen[-1] - chosen
        total += _f_beta(hits, chosen, actual[c], beta)

    low, high = np.append(0.0, turns), np.append(turns, np.inf)
    possible = (high > low) & (high > 0) & (low < np.inf)
    best = int(np.where(possible, total, -1.0).argmax())
    if low[best] == 0:
        return float(high[best] / 2) if high[best] < np.inf else float(factors[k])
    return float(np.sqrt(low[best] * high[best])) if high[best] < np.inf else float(low[best] * 2)


def _f_beta(
    hits: np.ndarray, chosen: np.ndarray, actual: np.ndarray | float, beta: float
) -> np.ndarray:
    below = beta**2 * actual + chosen
    return np.divide((1 + beta**2) * hits, below, out=np.zeros_like(hits), where=below > 0)


def _recalls(
    decisions: np.ndarray, labels: np.ndarray, weights: np.ndarray, n_classes: int
) -> np.ndarray:
    actual = np.bincount(labels, weights, n_classes)
    hits = np.bincount(labels, weights * (decisions == labels), n_classes)
    return np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)


def _best(value: np.ndarray, then: np.ndarray | None = None) -> int:
    """Index of the highest value, by `then` among equals, the first among those."""
    top = np.flatnonzero(value >= value.max() - 1e-12)
    return int(top[0] if then is None else top[then[top].argmax()])
