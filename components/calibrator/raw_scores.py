"""What Trainer's model, or a user's own, gives, brought to one form: logits of the softmax."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from typing_extensions import Self

from ..errors import UserError
from ..names import LOGITS

SMALLEST = 1e-7
"""Probabilities are kept this far from 0 and 1: what float32 can tell near 1."""


@dataclass(frozen=True)
class RawForm:
    """How a model's `serving_default` states its scores.

    Attributes:
      output: name of the output that is read.
      is_logits: logits by the softmax convention; else probabilities.
      single: [n] or [n, 1], of the positive class (of a sigmoid, if logits); else [n, n_classes].
    """

    output: str
    is_logits: bool
    single: bool

    @classmethod
    def of(cls, outputs: Mapping[str, np.ndarray], n_classes: int) -> Self:
        """Recognises the form from outputs on some rows.

        Raises:
          UserError: the outputs are none of the accepted forms.
        """
        if LOGITS not in outputs and len(outputs) != 1:
            raise _unusable(f"has the outputs {sorted(outputs)}", n_classes)
        name = LOGITS if LOGITS in outputs else next(iter(outputs))
        values = outputs[name]
        found = f"has the output {name!r} of type {values.dtype} and shape {list(values.shape)}"
        single = n_classes == 2 and (values.ndim == 1 or values.shape[1:] == (1,))
        if not tf.as_dtype(values.dtype).is_floating or not (
            single or (values.ndim == 2 and values.shape[1] == n_classes)
        ):
            raise _unusable(found, n_classes)
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError("the trained model gives scores on val that are NaN or infinite")
        if name != LOGITS:
            totals = np.ones(1) if single else values.sum(axis=1)
            if values.min() < 0 or values.max() > 1 or np.abs(totals - 1).max() > 1e-2:
                raise _unusable(f"{found} whose values are no probabilities", n_classes)
        return cls(name, name == LOGITS, single)

    def logits(self, outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """float64 [n, n_classes]: logits whose softmax is what the model says. Works in a graph."""
        values = tf.cast(outputs[self.output], tf.float64)
        if not self.is_logits:
            values = tf.clip_by_value(values, SMALLEST, 1 - SMALLEST)
        if self.single:
            values = tf.reshape(values, [-1])
            other = tf.zeros_like(values) if self.is_logits else tf.math.log1p(-values)
            return tf.stack([other, values if self.is_logits else tf.math.log(values)], axis=1)
        return values if self.is_logits else tf.math.log(values)


def _unusable(found: str, n_classes: int) -> UserError:
    accepted = f"{LOGITS!r} [n, {n_classes}], or one output of probabilities [n, {n_classes}]"
    if n_classes == 2:
        accepted += ", [n, 1] or [n] (of the positive class)"
    return UserError(f"train.run_fn: the model's serving_default {found}; accepted are {accepted}")
