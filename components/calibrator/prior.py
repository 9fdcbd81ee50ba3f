"""Undoes analytically what sampling rates and class weights did to the class prior.

Training with class factors f learns q_k(x) proportional to f_k p_k(x) where only P(y) was moved,
so p_k is proportional to q_k / f_k: Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI
2001, theorem 2; Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a
Priori Probabilities", Neural Computation 2002, eq. 2.4. Keeping a share b of the majority is the
special case p = b q / ((b - 1) q + 1): Dal Pozzolo et al., "Calibrating Probability with
Undersampling for Unbalanced Classification", SSCI 2015, eq. 4.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from ..errors import UserError


def combined_factors(classes: Sequence[str], *steps: Mapping[str, float]) -> np.ndarray:
    """float64 [n_classes]: product of the steps' factors for each class.

    Raises:
      UserError: a class's factor is 0 or not finite: it was removed and cannot be restored.
    """
    factors = np.array([np.prod([step[name] for step in steps]) for name in classes])
    for name, factor in zip(classes, factors, strict=True):
        if not (np.isfinite(factor) and factor > 0):
            raise UserError(
                f"rebalance.sampling_strategy: class {name!r} has the factor {factor:g} in train, "
                "which no correction can undo; keep at least one row of each class"
            )
    return factors


def correct(logits: tf.Tensor, factors: np.ndarray) -> tf.Tensor:
    """float64 [n, n_classes]: log p of the undistorted prior. Works in a graph.

    Args:
      logits: float64 [n, n_classes], log q up to a constant in each row.
      factors: float64 [n_classes], positive; only their ratios matter.
    """
    return tf.nn.log_softmax(logits - np.log(factors), axis=1)
