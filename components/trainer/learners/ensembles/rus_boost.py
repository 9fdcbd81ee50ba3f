"""RUSBoost, by imbalanced-learn: AdaBoost whose trees each see a balanced sample.

Reference: Seiffert, Khoshgoftaar, Van Hulse and Napolitano, "RUSBoost: A Hybrid Approach to
Alleviating Class Imbalance", IEEE Transactions on Systems, Man, and Cybernetics A 2010; by SAMME,
see `boost`, where the paper has AdaBoost.M2.

A tree of a balanced sample is wrong on many rows of the larger classes, so that a stump may be no
better than chance on all rows: trees are deeper, as the paper's C4.5 are.
"""

from imblearn.ensemble import RUSBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from ...input import Rows
from ..base import Fitted, Task
from .boost import boosted, samme_leaves, say_stopped
from .committee import additive
from .data import balanced, prepared, seed32
from .members import count, device


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Boosts trees; sample weights are the first weights.

    Raises:
      UserError: a class has no rows; no tree is better than chance.
    """
    data, params = prepared(train, task), task.params.ensemble
    model = RUSBoostClassifier(
        DecisionTreeClassifier(max_depth=params.max_depth or 8),
        n_estimators=count(task, 50),
        learning_rate=params.learning_rate,
        random_state=seed32(task),
    )
    boosted(model, data, slice(None))
    say_stopped(model, task)
    return Fitted(
        additive(model.estimators_, samme_leaves(model), task),
        effect=balanced(data, task),
        device=device(task),
    )
