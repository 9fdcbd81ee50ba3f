"""Learners: one module each, with a `fit` of one signature.

`fit(train, val, class_weights, params, mixed_precision) -> Fitted`; `params` is TrainerParams.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import tensorflow as tf

from ..report import Epoch

_MODULES = {"mlp": ".mlp"}


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
      scores: (numeric float32 [n, D], ids int32 [n, C]) -> float32 [n, n_classes] logits; a
        tf.Module, so that its variables are saved with whatever holds it.
      history: every epoch.
      best_epoch: the one whose weights `scores` has, from 1; None where there are no epochs.
    """

    scores: tf.Module
    history: list[Epoch]
    best_epoch: int | None


def learner(name: str) -> Callable[..., Fitted]:
    """The `fit` of the learner that a config names."""
    fit: Any = import_module(_MODULES[name], __name__).fit
    return fit
