"""Losses for imbalanced classes, as functions of logits, and what each does to the class prior.

All are one formula. A row of class y with scores f has the logits z = f + offset[y] and the loss

    sum over k of  t_k (1 - p_k)^gamma (-log p_k),   p = softmax(z),

times the row's weight, which holds the class weights. The names are the special cases:

- `cross_entropy`: offset 0, gamma 0. With t smoothed, t_k = (1 - e) [k = y] + e / K: Szegedy et
  al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
- `focal`: gamma > 0. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5 with the
  softmax for several classes; its alpha are the class weights.
- `logit_adjusted`: offset[y, k] = tau log pi_k, pi the classes' shares of the weight that the
  learner sees: Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021, eq. 10.
- `ldam`: offset[y, k] = -[k = y] C / n_y^(1/4), n the classes' rows, C such that the largest margin
  is `max_margin`: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
  Loss", NeurIPS 2019, eq. 13. Its logits are `scale` times cosines, see `mlp.build`, so the margins
  are times `scale`, too.

The class-balanced loss of Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
CVPR 2019, is `class_weights.scheme: effective_number` with `cross_entropy` or `focal`.

What the scores f of the best network then are:

- `cross_entropy`: softmax(f) is proportional to w_k p_k(x), w the class weights.
- `logit_adjusted`: softmax(f) is proportional to pi_k^-tau w_k p_k(x). That is exact, so Calibrator
  undoes it as it does weights.
- `focal`: p is nearer to uniform than w_k p_k(x), the more so the larger gamma. Charoenphakdee et
  al., "On Focal Loss for Class-Posterior Probability Estimation: A Theoretical Perspective", CVPR
  2021, give the map back, for the minimiser alone, which training that stops early does not reach.
  The map keeps the classes' order and, of two classes, the ranking of rows, so Calibrator fits it.
- smoothing: p is (1 - e) w_k p_k(x) + e / K. What is learned of a rare class lies just above e / K,
  mostly below it by error, where the formula has no inverse.
- `ldam`: no factor of the odds. Of two classes odds = sigmoid(g + m_0) / sigmoid(m_1 - g) with g =
  f_1 - f_0: the margin m_0 moves low scores, m_1 high ones, and between them scores are stretched.
"""

import keras
import numpy as np
import tensorflow as tf

from ..report import Kind
from .params import LossParams

LEAST = 1e-7
"""Of a share whose logarithm is taken, and of 1 - p, whose power may have no slope at 0."""


class Loss(keras.losses.Loss):
    """The loss of each row: (class index [n], float32 [n, n_classes]) -> float32 [n].

    Args:
      params: which loss.
      mass: float [n_classes], summed weights of each class as the learner sees them.
      rows: float [n_classes], of each class in train, each as often as its sample weight says.

    Attributes:
      adjustment: float32 [n_classes], added to the scores of every row.
      offsets: float32 [n_classes, n_classes], added to the scores of a row of class y: row y.
      factors: float64 [n_classes], by which the loss moves each class's odds, weights left out.
      kind: whether these factors tell all.
    """

    def __init__(self, params: LossParams, mass: np.ndarray, rows: np.ndarray) -> None:
        super().__init__(name=params.name)
        n = len(mass)
        self.adjustment, margins = np.zeros(n, np.float32), np.zeros(n)
        if params.name == "logit_adjusted":
            self.adjustment = np.float32(params.tau) * log_prior(mass)
        if params.name == "ldam":
            margins = params.scale * params.max_margin * relative_margins(rows)
        self.offsets = (self.adjustment - np.diag(margins)).astype(np.float32)
        self.factors = np.exp(-self.adjustment.astype(np.float64))
        self.gamma = params.gamma if params.name == "focal" else 0.0
        self.smoothing = params.label_smoothing
        self.kind: Kind = "prior_only" if self.adjustment.any() else "none"
        if self.gamma or self.smoothing or margins.any():
            self.kind = "approximate"

    @property
    def fits_intercept(self) -> bool:
        """Whether the best intercept makes the mean of p equal the mean target, as it does for a
        log loss."""
        return not self.gamma

    def targets(self, mass: np.ndarray) -> np.ndarray:
        """float [n_classes]: the mean of the rows' targets t, from the classes' summed weights."""
        share = mass / mass.sum()
        smoothed: np.ndarray = (1 - self.smoothing) * share + self.smoothing / len(share)
        return smoothed

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Unweighted."""
        labels = tf.cast(tf.reshape(y_true, [-1]), tf.int32)
        logits = y_pred + tf.gather(self.offsets, labels) if self.offsets.any() else y_pred
        if not (self.gamma or self.smoothing):
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        log_p = tf.nn.log_softmax(logits)
        n = len(self.offsets)
        on, off = 1 - self.smoothing + self.smoothing / n, self.smoothing / n
        each = tf.one_hot(labels, n, on, off) * -log_p
        if self.gamma:
            each *= tf.maximum(-tf.math.expm1(log_p), LEAST) ** self.gamma
        return tf.reduce_sum(each, axis=1)


def log_prior(mass: np.ndarray) -> np.ndarray:
    """float32 [n_classes]: log of each class's share of the weight that the learner sees."""
    return np.log(np.maximum(mass / mass.sum(), LEAST)).astype(np.float32)


def relative_margins(rows: np.ndarray) -> np.ndarray:
    """float64 [n_classes]: n^(-1/4), scaled so that the smallest class's is 1.

    Args:
      rows: float [n_classes], n; a class without rows counts as the smallest that has some.
    """
    least = rows[rows > 0].min()
    margins: np.ndarray = (least / np.maximum(rows, least)) ** 0.25
    return margins
