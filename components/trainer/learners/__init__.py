"""Learners by name. One learner: arrays in, a module that scores out; it knows no TFX."""

from collections.abc import Callable
from importlib import import_module

from ..params import ENSEMBLES
from .base import Fitted, Task

_HOME = {
    "autoencoder": ".autoencoder",
    "isolation_forest": ".isolation_forest",
    "mlp": ".mlp",
    "boosted_trees": ".boosted_trees",
    **{name: f".ensembles.{name}" for name in ENSEMBLES},
}


def learner(name: str) -> Callable[..., Fitted]:
    """The `fit(train, val, task)` of the learner called `name`; imports only that one."""
    fit: Callable[..., Fitted] = import_module(_HOME[name], __name__).fit
    return fit


__all__ = ["Fitted", "Task", "learner"]
