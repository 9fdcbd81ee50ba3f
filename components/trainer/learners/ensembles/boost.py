"""AdaBoost of scikit-learn and imbalanced-learn: what both need around them.

Reference: Zhu, Zou, Rosset and Hastie, "Multi-class AdaBoost", Statistics and its Interface 2009:
algorithm 2 (SAMME), eq. 15 (its probabilities).
"""

import inspect

import numpy as np
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from .... import progress
from ....errors import UserError
from ...params import EnsembleParams
from ..base import Task
from .data import Data

LEAST_LOSS = 1e-10
"""A tree of this loss ends boosting: nothing is left to learn from."""


def ada_boost(params: EnsembleParams, rounds: int, depth: int, seed: int) -> AdaBoostClassifier:
    """An unfitted AdaBoost, by SAMME, of `rounds` trees, of `depth` unless `params` say another."""
    # Up to scikit-learn 1.5 the default is another algorithm, and naming SAMME is refused later.
    algorithm = inspect.signature(AdaBoostClassifier).parameters.get("algorithm")
    samme = {"algorithm": "SAMME"} if algorithm and algorithm.default == "SAMME.R" else {}
    return AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=params.max_depth or depth),
        n_estimators=rounds,
        learning_rate=params.learning_rate,
        random_state=seed,
        **samme,
    )


def boosted(model: AdaBoostClassifier, data: Data, index: np.ndarray | slice) -> AdaBoostClassifier:
    """`model`, fitted on the rows at `index`.

    Raises:
      UserError: not even the first tree is better than chance.
    """
    try:
        return model.fit(data.x[index], data.labels[index], data.weights[index])
    except ValueError as error:
        if "worse than random" not in str(error):
            raise
        raise UserError(
            f"train.ensemble.max_depth: the first tree that is boosted, of depth "
            f"{model.estimator.max_depth}, is no better than chance on train; expected features "
            "that tell the classes apart; try a greater max_depth, or another train.learner"
        ) from error


def say_stopped(model: AdaBoostClassifier, task: Task) -> None:
    """Tells why a fitted boost has fewer trees than were asked for, if it has."""
    trees = len(model.estimators_)
    stopped(trees, model.n_estimators, float(model.estimator_errors_[trees - 1]), task)


def stopped(trees: int, asked: int, loss: float, task: Task) -> None:
    """Tells why there are not all trees; `loss` is the last one's."""
    if trees < asked:
        why = (
            "the next one is no better than chance; a greater train.ensemble.max_depth may help"
            if loss > LEAST_LOSS
            else "the last one is right on all of train"
        )
        found = f"{trees} tree{'s' if trees > 1 else ''}"
        progress.say(f"{task.params.learner}: {found} instead of {asked}: {why}")


def samme_leaves(model: AdaBoostClassifier) -> list[np.ndarray]:
    """float64 [nodes, n_classes] of each tree, whose sums' softmax is model.predict_proba."""
    k = model.n_classes_
    votes = model.estimator_weights_ / model.estimator_weights_.sum()
    leaves = []
    for tree, vote in zip(model.estimators_, votes, strict=False):
        winner = tree.tree_.value[:, 0].argmax(axis=1)
        leaves.append(vote / (k - 1) * np.where(np.arange(k) == winner[:, None], 1, -1 / (k - 1)))
    return leaves
