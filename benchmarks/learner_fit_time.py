"""Fit time of weighted boosted trees beside a plain script of xgboost on the same arrays.

Covertype's rows, 80 % train and 20 % val, balanced class weights, 300 rounds of one depth and
number of bins, AUC-PR on val after each round, all cores. The script is xgboost's own scikit-learn
wrapper with scale_pos_weight. The two take turns; the best of three counts.
"""

import tempfile
import time
from collections.abc import Iterator

import joblib
import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks import _covertype
from benchmarks._peers import CLASSES
from benchmarks._xgboost import classifier
from benchmarks.claims import Claim
from tfx_imbalance.components.trainer.devices import visible_devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import learner
from tfx_imbalance.components.trainer.learners.base import Task
from tfx_imbalance.components.trainer.params import TrainerParams

ROUNDS, RUNS, MOST = 300, 3, 1.15


def run() -> Iterator[Claim]:
    """Yields the one claim."""
    data = _covertype.load()
    labels = (data.label == CLASSES[1]).astype(np.int64)
    parts = train_test_split(data.x, labels, test_size=0.2, random_state=0, stratify=labels)
    x, x_val, y, y_val = parts
    weight = float((y == 0).sum() / (y == 1).sum())
    options = {
        "n_estimators": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        "n_jobs": joblib.cpu_count(),
    }

    def script() -> None:
        model = classifier(0, scale_pos_weight=weight).set_params(**options)
        model.fit(x, y, eval_set=[(x_val, y_val)], verbose=False)

    features = [Feature("x", data.x.shape[1])]
    limits = {"rounds": ROUNDS, "patience": ROUNDS}
    params = TrainerParams(label="y", learner="boosted_trees", boosted_trees=limits, seed=0)

    def ours() -> None:
        with tempfile.TemporaryDirectory() as logs:
            weights = np.array([1.0, weight])
            task = Task(features, ["no", "yes"], weights, params, visible_devices("off"), logs)
            learner("boosted_trees")(_rows(x, y), _rows(x_val, y_val), task)

    times: dict[str, list[float]] = {"ours": [], "script": []}
    for _ in range(RUNS):
        for name, fit in (("ours", ours), ("script", script)):
            started = time.perf_counter()
            fit()
            times[name].append(time.perf_counter() - started)
    seconds, peer = (min(times[name]) for name in ("ours", "script"))
    yield Claim(
        "covertype, weighted boosted trees: fit, against a plain xgboost script",
        seconds,
        peer,
        peer / seconds,
        unit="s",
        bar=f"time <= {MOST} x the script's",
        ok=seconds <= MOST * peer,
        detail=f"{len(x):,} rows, {ROUNDS} rounds, {joblib.cpu_count()} threads; "
        + "; ".join(f"{name} {[round(t, 2) for t in taken]}" for name, taken in times.items()),
    )


def _rows(x: np.ndarray, labels: np.ndarray) -> Rows:
    return Rows(x, np.empty((len(x), 0), np.int64), labels, np.ones(len(x), np.float32))
