"""RUSBoost: AdaBoost.M2 whose trees each see a balanced sample.

Reference: Seiffert, Khoshgoftaar, Van Hulse and Napolitano, "RUSBoost: A Hybrid Approach to
Alleviating Class Imbalance", IEEE Transactions on Systems, Man, and Cybernetics A 2010.

imbalanced-learn's RUSBoostClassifier boosts by SAMME instead, which stops at the first tree that is
wrong on half of all rows, weighted: a tree of a balanced sample soon is. M2's pseudo-loss asks how
much a tree prefers wrong classes, and goes on.
"""

import numpy as np

from ...input import Rows
from ..base import Fitted, Task
from .ada_boost_m2 import Sample, Seen, boosted_m2
from .data import Data, balanced, prepared
from .members import count, device
from .subsets import balanced_subsets


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Boosts trees; a sample has as many rows of each class as the smallest class has.

    Raises:
      UserError: a class has no rows; no tree is better than chance.
    """
    data, rounds = prepared(train, task), count(task, 50)
    subsets = balanced_subsets(
        data.labels,
        len(task.classes),
        rounds,
        task.params.seed,
        disjoint=False,
        replace=False,
    )
    samples = (of_rows(data, index) for index in subsets)
    return Fitted(
        boosted_m2(data, samples, rounds, task.params.ensemble.max_depth or 3, task),
        effect=balanced(data, task),
        device=device(task),
    )


def of_rows(data: Data, index: np.ndarray) -> Sample:
    """Some rows alone: int64 [s]."""
    return lambda weights: Seen(data.x[index], data.labels[index], weights[index])
