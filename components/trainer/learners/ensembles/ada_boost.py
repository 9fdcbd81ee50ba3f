"""AdaBoost, by scikit-learn; see `boost` for the algorithm."""

import numpy as np

from ...input import Rows
from ..base import Fitted, Task
from .boost import ada_boost, boosted, samme_leaves, say_stopped
from .committee import additive
from .data import moved, prepared, seed32
from .members import count, device


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Boosts trees from the weights that class weights and sample weights give the rows.

    Raises:
      UserError: a class has no rows; no tree is better than chance.
    """
    data = prepared(train, task)
    model = ada_boost(task.params.ensemble, count(task, 50), 1, seed32(task))
    boosted(model, data, slice(None))
    say_stopped(model, task)
    return Fitted(
        additive(model.estimators_, samme_leaves(model), task),
        effect=moved(task, np.ones(len(task.classes))),
        device=device(task),
    )
