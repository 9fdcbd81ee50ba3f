"""EasyEnsemble: an AdaBoost for each of several samples of the larger classes.

Reference: Liu, Wu and Zhou, "Exploratory Undersampling for Class-Imbalance Learning", IEEE
Transactions on Systems, Man, and Cybernetics B 2009, algorithm 1. There the AdaBoosts' scores are
added up; here, as in imbalanced-learn, their probabilities are averaged, so that each counts alike.
"""

from ...input import Rows
from ..base import Fitted, Task
from .balanced_bagging import fit_members


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains a member on all rows of the smallest class and as many of each other class.

    Those are drawn without replacement, anew for each member or, where `subsets` is disjoint, so
    that no two members share any before all have been used. Sample weights are the AdaBoosts'
    first weights.

    Raises:
      UserError: a class has no rows; no tree is better than chance.
    """
    return fit_members(train, val, task, trees=10, replace=False)
