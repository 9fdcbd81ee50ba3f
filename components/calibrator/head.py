"""All that lies between a trained model's logits and a decision, fitted on val."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from .. import metrics, progress
from ..imbalance_detector.report import Imbalance
from ..metrics import Scores
from ..names import DECISION, PROBABILITIES, PROBABILITY, VAL
from ..report import Kind
from . import calibration, prior, threshold
from .params import CalibratorParams
from .report import Calibration


@dataclass(frozen=True)
class Head:
    """Prior correction, calibration and operating point; a function of logits.

    Attributes:
      factors: float64 [n_classes] that are undone; ones where the prior stays as trained.
      calibrate: the map fitted on val.
      point: the operating point.
    """

    factors: np.ndarray
    calibrate: calibration.Map
    point: threshold.OperatingPoint

    def __call__(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """probabilities, probability and decision (see names) of float64 [n, n_classes] logits."""
        p = published(self.calibrate(prior.correct(logits, self.factors)))
        decision = self.point.decide(p)
        binary = self.point.threshold is not None
        probability = p[:, 1] if binary else tf.gather(p, decision, axis=1, batch_dims=1)
        return {PROBABILITIES: p, PROBABILITY: probability, DECISION: decision}

    def constants(self) -> str:
        """Canonical JSON text of every number that the head computes with."""
        values = {
            "factors": (self.factors / self.factors[0]).tolist(),
            "method": self.calibrate.method,
            "map": asdict(self.calibrate),
            "threshold": self.point.threshold,
            "matrix": self.point.matrix.tolist(),
        }
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True)
class Fitted:
    """A head and val's scores on the way through it; rows in a canonical order.

    Attributes:
      head: what was fitted.
      reason: why this calibration map.
      scores: as published.
      raw, corrected: float64 [n, n_classes] probabilities as trained, and after the prior
        correction.
    """

    head: Head
    reason: str
    scores: Scores
    raw: np.ndarray
    corrected: np.ndarray


def fit(
    logits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
    factors: np.ndarray,
    kind: Kind,
    params: CalibratorParams,
) -> Fitted:
    """Fits the head on val.

    Args:
      logits: float64 [n, n_classes], as trained.
      labels: int64 [n], true class index.
      weights: float64 [n], sample weights, not all 0.
      classes: class names in index order.
      factors: float64 [n_classes], by which training moved the prior.
      kind: what training did to the prior.
      params: Calibrator's parameters.

    Raises:
      UserError: the method or the objective does not fit the classes.
    """
    # Sums depend on the order of rows in their last bits, so the order is fixed by content.
    order = np.lexsort((*logits.T, weights, labels))
    logits, labels, weights = logits[order], labels[order], weights[order]
    if not params.prior_correction:
        factors = np.ones(len(classes))
    log_p = prior.correct(tf.constant(logits), factors)
    mapped, reason = _calibration(log_p.numpy(), labels, weights, classes, kind, params)
    probabilities = published(mapped(log_p)).numpy()
    point = threshold.choose(params.threshold, probabilities, labels, weights, classes)
    head = Head(factors, mapped, point)
    scores = Scores(
        VAL,
        labels,
        probabilities.astype(np.float64),
        point.decide(tf.constant(probabilities)).numpy(),
        weights,
        tuple(classes),
    )
    raw = tf.nn.softmax(logits, axis=1).numpy()
    return Fitted(head, reason, scores, raw, np.exp(log_p.numpy()))


def report(fitted: Fitted, imbalance: Imbalance, kind: Kind, factors: np.ndarray) -> Calibration:
    """What was done, in a report whose `model_fingerprint` is still empty."""
    head, scores = fitted.head, fitted.scores
    share = scores.weights / scores.weights.sum()
    names = scores.classes
    return Calibration(
        classes=list(names),
        positive=imbalance.positive,
        factors=dict(zip(names, factors.tolist(), strict=True)),
        kind=kind,
        prior_corrected=bool(np.ptp(head.factors) > 0),
        method=head.calibrate.method,
        method_reason=fitted.reason,
        objective=head.point.objective,
        objective_value=head.point.value,
        threshold=head.point.threshold,
        decision_matrix=head.point.matrix.tolist(),
        val_rows=len(scores.labels),
        val_metrics_raw=metrics.summary(_by_arg_max(scores, fitted.raw)),
        val_metrics_corrected=metrics.summary(_by_arg_max(scores, fitted.corrected)),
        val_metrics=metrics.summary(scores),
        mean_score=dict(zip(names, (share @ scores.probabilities).tolist(), strict=True)),
        prevalence={name: float(share[scores.labels == k].sum()) for k, name in enumerate(names)},
        warnings=list(head.point.warnings),
        model_fingerprint="",
    )


def published(probabilities: tf.Tensor) -> tf.Tensor:
    """float32, as the model gives them: thresholds are chosen on, and compared with, these."""
    return tf.cast(probabilities, tf.float32)


def _calibration(
    log_p: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
    kind: Kind,
    params: CalibratorParams,
) -> tuple[calibration.Map, str]:
    method = params.method
    if method == "none":
        return calibration.Uncalibrated(), "calibrate.method is none"
    if method == "auto" and not params.prior_correction:
        return calibration.Uncalibrated(), (
            "calibrate.prior_correction is off: the scores stay as trained, on purpose"
        )
    totals = np.bincount(labels, weights, minlength=len(classes))
    if len(classes) == 2 and not totals.all():
        missing = classes[int(totals.argmin())]
        return calibration.Uncalibrated(), f"val has no row of class {missing!r}: nothing to fit on"
    if method == "auto":
        return calibration.choose(log_p, labels, weights, kind, params.max_ece)
    progress.say(f"fitting {method} calibration on {len(labels)} rows of val")
    return calibration.fit(method, log_p, labels, weights), f"calibrate.method is {method}"


def _by_arg_max(scores: Scores, probabilities: np.ndarray) -> Scores:
    return Scores(
        scores.split,
        scores.labels,
        probabilities,
        probabilities.argmax(axis=1),
        scores.weights,
        scores.classes,
    )
