"""Bagging of members that each see a balanced sample; EasyEnsemble is the case of AdaBoosts.

References: Breiman, "Bagging Predictors", Machine Learning 1996; Hido, Kashima and Takahashi,
"Roughly balanced bagging for imbalanced data", Statistical Analysis and Data Mining 2009 (here
each sample is balanced exactly).
"""

from ...input import Rows
from ..base import Fitted, Task
from .committee import committee
from .data import balanced, prepared, seeds
from .members import count, device, train_all
from .subsets import balanced_subsets


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains members on samples with as many rows of each class as the smallest class has.

    Every class is drawn with replacement, the larger ones without where `subsets` is disjoint.
    Sample weights count in each member's loss; rows are drawn whatever their weight.

    Raises:
      UserError: a class has no rows.
    """
    return fit_members(train, val, task, trees=50, replace=True)


def fit_members(train: Rows, val: Rows, task: Task, *, trees: int, replace: bool) -> Fitted:
    """`fit` with the usual number of trees, and how rows are drawn, see `balanced_subsets`."""
    data = prepared(train, task)
    members = count(task, trees)
    subsets = balanced_subsets(
        data.labels,
        len(task.classes),
        members,
        task.params.seed,
        disjoint=task.params.ensemble.subsets == "disjoint",
        replace=replace,
    )
    trained = train_all(data, subsets, seeds(task, members), val, task)
    return Fitted(committee(trained, task), effect=balanced(data, task), device=device(task))
