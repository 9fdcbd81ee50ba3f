"""Learners on mammography: five stratified folds, equal rows in one, beside each one's own library.

A fold is judged by models that saw three others; the fourth is val. Both sides get the same arrays
and settings. Six measurements of 11,183 spots, 2.3 % of them microcalcifications.
"""

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from imblearn.ensemble import (
    BalancedBaggingClassifier,
    BalancedRandomForestClassifier,
    EasyEnsembleClassifier,
    RUSBoostClassifier,
)
from scipy.special import softmax
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

from benchmarks import _data
from benchmarks._bank import mean
from benchmarks._sklearn import ada_boost
from benchmarks._xgboost import classifier
from benchmarks.claims import Claim
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, learner
from tfx_imbalance.components.trainer.params import TrainerParams
from tfx_imbalance.components.tuner.folds import stratified

FOLDS, SEEDS, MOST = 5, tuple(range(10)), 0.01
Peer = Callable[[Rows, Rows, Rows, int], np.ndarray]


def run() -> Iterator[Claim]:
    """Yields the difference of each learner's AUC-PR from its library's."""
    rows = read()
    for name, peer in PEERS.items():
        ours, theirs = [], []
        for seed in SEEDS:
            fold = folds(rows, seed)
            for i in range(FOLDS):
                train = rows.take((fold != i) & (fold != (i + 1) % FOLDS))
                val, test = rows.take(fold == (i + 1) % FOLDS), rows.take(fold == i)
                ours.append(_judged(test, score(name, train, val, test, seed)))
                theirs.append(_judged(test, peer(train, val, test, seed)))
        difference = mean(ours) - mean(theirs)
        yield Claim(
            f"mammography, {name}: AUC-PR, mean of {FOLDS} folds, against its own library",
            ours=mean(ours),
            peer=mean(theirs),
            ratio=mean(ours) / mean(theirs),
            unit="AUC-PR",
            bar=f"no more than {MOST} below",
            ok=difference >= -MOST,
            detail=f"difference {difference:+.4f}, {len(SEEDS)} seeds; standard deviation over "
            f"folds and seeds {np.std(ours):.3f} and {np.std(theirs):.3f}",
        )


def read() -> Rows:
    """All rows, with the label that occurs less as class 1."""
    found = _data.load("mammography")
    labels = (found.label == found.minority).astype(np.int32)
    none = np.empty((len(labels), 0), np.int32)
    return Rows(found.standardised, none, labels, np.ones(len(labels), np.float32))


def folds(rows: Rows, seed: int) -> np.ndarray:
    """int64 [n], the fold of each row; equal rows are in one."""
    units = pd.DataFrame(rows.numbers).groupby(list(range(rows.numbers.shape[1]))).ngroup()
    return stratified(units.to_numpy(), rows.labels, ["no", "yes"], FOLDS, seed, "mammography")


def score(name: str, train: Rows, val: Rows, test: Rows, seed: int) -> np.ndarray:
    """float [n], ours."""
    params = TrainerParams(label="y", learner=name, seed=seed, **OPTIONS.get(name, {}))
    features = [Feature("x", train.numbers.shape[1])]
    with tempfile.TemporaryDirectory() as logs:
        task = Task(features, ["no", "yes"], np.ones(2), params, visible_devices("off"), logs)
        fitted = learner(name)(train, val, task)
    return softmax(np.asarray(fitted.scorer({"x": test.numbers})), axis=1)[:, 1]


def _judged(test: Rows, probability: np.ndarray) -> float:
    return float(average_precision_score(test.labels, probability))


OPTIONS: dict[str, dict[str, Any]] = {
    "rus_boost": {"ensemble": {"members": 50, "max_depth": 3}},
    "ada_boost": {"ensemble": {"members": 50, "max_depth": 1}},
    "easy_ensemble": {"ensemble": {"members": 10, "rounds": 50, "max_depth": 1}},
    "balanced_bagging": {"ensemble": {"members": 50}},
}


def _xgboost(train: Rows, val: Rows, test: Rows, seed: int) -> np.ndarray:
    model = classifier(seed)
    model.fit(train.numbers, train.labels, eval_set=[(val.numbers, val.labels)], verbose=False)
    return np.asarray(model.predict_proba(test.numbers)[:, 1])


def _fitted(make: Callable[[int], Any]) -> Peer:
    def fit(train: Rows, val: Rows, test: Rows, seed: int) -> np.ndarray:
        model = make(seed).fit(train.numbers, train.labels)
        return np.asarray(model.predict_proba(test.numbers)[:, 1])

    return fit


def _isolation(train: Rows, val: Rows, test: Rows, seed: int) -> np.ndarray:
    forest = IsolationForest(n_estimators=200, max_samples=256, random_state=seed)
    return -forest.fit(train.numbers[train.labels == 0]).score_samples(test.numbers)


def _stump(depth: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=depth)


PEERS: dict[str, Peer] = {
    "boosted_trees": _xgboost,
    "balanced_random_forest": _fitted(
        lambda seed: BalancedRandomForestClassifier(
            200, sampling_strategy="all", replacement=True, bootstrap=False, random_state=seed
        )
    ),
    "balanced_bagging": _fitted(
        lambda seed: BalancedBaggingClassifier(None, 50, random_state=seed)
    ),
    "easy_ensemble": _fitted(lambda seed: EasyEnsembleClassifier(10, random_state=seed)),
    "rus_boost": _fitted(lambda seed: RUSBoostClassifier(_stump(3), random_state=seed)),
    "ada_boost": _fitted(lambda seed: ada_boost(1, random_state=seed)),
    "isolation_forest": _isolation,
}
