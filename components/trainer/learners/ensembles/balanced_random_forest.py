"""Balanced random forest, by imbalanced-learn.

Reference: Chen, Liaw and Breiman, "Using Random Forest to Learn Imbalanced Data", University of
California, Berkeley, report 666, 2004, section 2.2.1.
"""

from imblearn.ensemble import BalancedRandomForestClassifier

from ...input import Rows
from ..base import Fitted, Task
from .committee import forest
from .data import balanced, prepared, seed32
from .members import count, device


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains trees on as many rows of each class, drawn with replacement, as the smallest has.

    Sample weights count in the trees' impurities and leaves; rows are drawn whatever their weight.

    Raises:
      UserError: a class has no rows.
    """
    data = prepared(train, task)
    model = BalancedRandomForestClassifier(
        count(task, 200),
        max_depth=task.params.ensemble.max_depth,
        sampling_strategy="all",
        replacement=True,
        bootstrap=False,
        random_state=seed32(task),
        n_jobs=-1,
    ).fit(data.x, data.labels, data.weights)
    return Fitted(forest(model.estimators_, task), effect=balanced(data, task), device=device(task))
