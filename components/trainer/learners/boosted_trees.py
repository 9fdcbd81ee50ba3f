"""Gradient-boosted trees by XGBoost, exported as plain TensorFlow.

References: Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016; Fisher, "On
Grouping for Maximum Homogeneity", JASA 1958 (categories split by sets of ids, ordered by their
gradient).
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax, softmax

from ... import progress
from ...errors import UserError
from ..input import Feature, Rows, pack
from ..params import BoostedTreesParams
from .base import Fitted, Task
from .columns import Columns
from .journal import Journal
from .trees import Boosted, TreeScorer

# Read when XGBoost loads its OpenMP, whose threads else spin while they wait: on cores that others
# use, too, two threads are several times as slow as one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import xgboost

ROWS_A_THREAD = 1 << 15
"""With fewer, threads are no faster."""

HISTORY_EVERY = 50
"""Rounds between entries of the history, which has the first, the best and the last one, too."""

PARTS = 4
"""Of the memory limit, that a part of a train split on disk may take."""


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Trains on `train`, stops early on `val`, keeps the trees up to the best round.

    The loss is the cross-entropy of each row, times its class weight and its sample weight. For
    two classes that is XGBoost's `scale_pos_weight`, which knows no more than two. A row of
    weight 0 is as good as left out. NaN is a missing number. Repeats exactly with one seed, with
    any number of threads on one CPU.

    Raises:
      UserError: a class without rows, or a number that is infinite.
    """
    params = task.params.boosted_trees
    train = task.weighted_rows(train)
    _check(train, task)
    columns = Columns(task.features, one_hot=False)
    cuda = xgboost.build_info()["USE_CUDA"] and bool(tf.config.list_physical_devices("GPU"))
    threads = max(1, min(joblib.cpu_count(), len(train) // ROWS_A_THREAD))
    settings = {
        **_objective(len(task.classes)),
        "tree_method": "hist",
        "device": "cuda" if cuda else "cpu",
        "nthread": threads,
        "seed": task.params.seed % 2**31,
        "learning_rate": params.learning_rate,
        "max_depth": params.max_depth,
        "min_child_weight": params.min_child_weight,
        "subsample": params.subsample,
        "colsample_bytree": params.colsample,
        "reg_lambda": params.l2,
        "max_bin": params.bins,
    }
    with tempfile.TemporaryDirectory() as folder:
        fields = _fields(train, task.loss_weights(train), columns)
        seen = _quantized(fields, len(train), columns.width, folder, params, threads)
        # Not quantized: by train's bins an id that train lacks would pass for another.
        unseen = xgboost.DMatrix(
            **_fields(val, val.weights, columns)(slice(None)),
            nthread=threads,
            enable_categorical=True,
        )
        watch = _Watch(seen, unseen, train, val, task)
        booster = xgboost.train(
            settings,
            seen,
            num_boost_round=params.rounds,
            callbacks=[watch],
            verbose_eval=False,
        )
        history, best = watch.history, watch.best
        model = Boosted.of(booster[:best])
        del booster, watch, seen  # before the folder that they read
    scorer = _Scorer(model, columns, task.features)
    device = task.devices.description if cuda else f"CPU ({threads} thread{'s' * (threads > 1)})"
    return Fitted(scorer, history, best, device=device, unit="round")


class _Scorer(tf.Module):
    def __init__(self, model: Boosted, columns: Columns, features: Sequence[Feature]) -> None:
        super().__init__()
        self.trees = TreeScorer(model.trees, model.group)
        self.intercept = tf.Variable(model.intercept, trainable=False)
        self._columns, self._features = columns, tuple(features)

    def __call__(self, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        x = self._columns(pack(columns, self._features))
        margins = self.trees(x)[:, :, 0] + self.intercept
        if margins.shape[1] > 1:
            return margins
        # The softmax of these two is the sigmoid of the margin.
        return tf.concat([tf.zeros_like(margins), margins], axis=1)


class _Watch(xgboost.callback.TrainingCallback):
    """Scores val after each round and stops when its AUC-PR stops rising.

    Attributes:
      best: the round with the highest AUC-PR, from 1; the loss decides where val has no positive
        row.
      history: entries of some rounds, whose seconds are those since the entry before.
    """

    def __init__(
        self, seen: xgboost.DMatrix, unseen: xgboost.DMatrix, train: Rows, val: Rows, task: Task
    ) -> None:
        super().__init__()
        self.best = 0
        self._params = task.params.boosted_trees
        self._journal = Journal(val, task, self._params.rounds, "round")
        self.history = self._journal.history
        self._seen, self._unseen, self._train, self._val = seen, unseen, train, val
        self._weights = task.loss_weights(train)
        self._score = macro_average_precision(val, len(task.classes))
        self._goal = -np.inf
        self._best: _Margins | None = None
        self._last: _Margins | None = None
        self._started = time.monotonic()

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: Any) -> bool:
        # Costs only the round's trees: the booster keeps the sums of those before.
        seen, unseen = (
            model.predict(matrix, output_margin=True) for matrix in (self._seen, self._unseen)
        )
        self._last = last = _Margins(epoch + 1, seen, unseen)
        goal = self._score(unseen)
        if not np.isfinite(goal):
            goal = -log_loss(unseen, self._val.labels, self._val.weights)
        if goal > self._goal or not self.best:
            self._goal, self.best, self._best = goal, last.number, last
        if last.number % HISTORY_EVERY == 0 or last.number == 1:
            self._write(last)
        return last.number - self.best >= self._params.patience

    def after_training(self, model: xgboost.Booster) -> xgboost.Booster:
        written = {done.epoch for done in self.history}
        for margins in (self._last, self._best):
            if margins and margins.number not in written:
                written.add(margins.number)
                self._write(margins)
        self.history.sort(key=lambda done: done.epoch)
        self._journal.close(next(d for d in self.history if d.epoch == self.best))
        return model

    def _write(self, at: "_Margins") -> None:
        seconds = time.monotonic() - self._started
        self._started = time.monotonic()
        loss = log_loss(at.seen, self._train.labels, self._weights)
        self._journal.write(
            self._journal.measured(at.number, seconds, loss, probabilities(at.unseen))
        )


class _Margins(NamedTuple):
    """After a round, counted from 1: XGBoost's margins of train and of val."""

    number: int
    seen: np.ndarray
    unseen: np.ndarray


def log_loss(margins: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean in nats of XGBoost's margins [n] (two classes) or [n, n_classes]."""
    if margins.ndim == 1:
        losses = np.logaddexp(0, np.where(labels > 0, -margins, margins))
    else:
        losses = -log_softmax(margins, axis=1)[np.arange(len(labels)), labels]
    return float(np.average(losses, weights=weights))


def probabilities(margins: np.ndarray) -> np.ndarray:
    """float64 [n, n_classes] of XGBoost's margins [n] (two classes) or [n, n_classes]."""
    margins = margins.astype(np.float64)
    if margins.ndim == 1:
        margins = np.stack([np.zeros_like(margins), margins], axis=1)
    return np.asarray(softmax(margins, axis=1))


def macro_average_precision(val: Rows, classes: int) -> Callable[[np.ndarray], float]:
    """The AUC-PR of margins on val as `Journal` has it, but quick, since each round asks for it.

    NaN where it is undefined.
    """
    present = set(np.unique(val.labels[val.weights > 0]))
    positive = {
        k: val.labels == k for k in ([1] if classes == 2 else range(classes)) if k in present
    }
    weights = None if np.ptp(val.weights) == 0 else val.weights.astype(np.float64)

    def score(margins: np.ndarray) -> float:
        if not positive:
            return float("nan")
        columns = {1: margins} if classes == 2 else probabilities(margins).T
        return float(
            np.mean([_average_precision(columns[k], positive[k], weights) for k in positive])
        )

    return score


def _average_precision(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None
) -> float:
    """The mean over positive rows of the precision at their score; None is equal weights."""
    if weights is None:  # no order of the rows is needed, and values sort much faster
        hits, others = np.sort(scores[positive]), np.sort(scores[~positive])
        above = len(hits) - np.searchsorted(hits, hits)
        return float(np.mean(above / (above + len(others) - np.searchsorted(others, hits))))
    order = np.argsort(-scores)
    falling, mass = scores[order], weights[order]
    steps = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
    hits, seen = np.cumsum(mass * positive[order])[steps], np.cumsum(mass)[steps]
    # Rows of weight 0 at the top are no step.
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / hits[-1])


class _Parts(xgboost.DataIter):
    """Train in parts, whose quantized form XGBoost keeps on disk."""

    def __init__(self, fields: Callable[[slice], dict[str, Any]], rows: int, part: int, at: str):
        self._fields, self._starts, self._part = fields, range(0, rows, part), part
        self._next = 0
        super().__init__(cache_prefix=f"{at}/part", on_host=False)

    def next(self, input_data: Callable[..., None]) -> bool:
        if self._next == len(self._starts):
            return False
        start = self._starts[self._next]
        input_data(**self._fields(slice(start, start + self._part)))
        self._next += 1
        return True

    def reset(self) -> None:
        self._next = 0


def _quantized(
    fields: Callable[[slice], dict[str, Any]],
    rows: int,
    width: int,
    folder: str,
    params: BoostedTreesParams,
    threads: int,
) -> xgboost.DMatrix:
    """Train as quantile bins, in memory or past the limit in `folder`."""
    options = {"max_bin": params.bins, "nthread": threads, "enable_categorical": True}
    limit = (params.memory_mb << 20) // (4 * width)
    if rows <= limit:
        return xgboost.QuantileDMatrix(**fields(slice(None)), **options)
    progress.say(f"boosted_trees: train takes more than memory_mb {params.memory_mb}; using disk")
    part = max(1, limit // PARTS)
    return xgboost.ExtMemQuantileDMatrix(_Parts(fields, rows, part, folder), **options)


def _fields(rows: Rows, weights: np.ndarray, columns: Columns) -> Callable[[slice], dict[str, Any]]:
    """What XGBoost is to know of a slice of the rows."""

    def of(part: slice) -> dict[str, Any]:
        # Not by `taken`: a slice copies nothing.
        numbers, categories = rows.numbers[part], rows.categories[part]
        seen = Rows(numbers, categories, rows.labels[part], rows.weights[part])
        return {
            "data": columns.matrix(seen),
            "label": rows.labels[part],
            "weight": weights[part],
            "feature_types": columns.feature_types,
        }

    return of


def _objective(classes: int) -> dict[str, Any]:
    if classes == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": classes}


def _check(train: Rows, task: Task) -> None:
    if np.isinf(train.numbers).any():
        infinite = np.isinf(train.numbers).any(axis=0)
        names = [f.name for f in task.features if not f.categories for _ in range(f.width)]
        raise UserError(
            f"train.learner boosted_trees: feature {names[int(infinite.argmax())]!r} has an "
            "infinite value, expected finite numbers, or NaN for missing ones; let "
            "preprocessing.fn bound it"
        )
