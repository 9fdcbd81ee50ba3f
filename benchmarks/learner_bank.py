"""Learners on bank without `duration`: five seeds of splits, ours beside the libraries' own.

All see the same rows. Peers get one-hot categories and numbers as they are, and no calibration;
xgboost's wrapper gets our own hyperparameters, val to stop by, and xgboost's own categories.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from imblearn.ensemble import BalancedRandomForestClassifier, EasyEnsembleClassifier
from scipy import stats
from sklearn.compose import make_column_transformer
from sklearn.metrics import average_precision_score, brier_score_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks._bank import ROOT, Run, mean, run_config
from benchmarks._sklearn import ada_boost
from benchmarks._xgboost import classifier
from benchmarks.claims import Claim

SEEDS = (0, 1, 2, 3, 4)
STUMPS = "easy_ensemble of stumps"
CALIBRATED = ("balanced_random_forest", "easy_ensemble")
TRAIN: dict[str, dict[str, Any]] = {
    name: {"learner": name} for name in ("mlp", "boosted_trees", *CALIBRATED)
} | {STUMPS: {"learner": "easy_ensemble", "ensemble": {"max_depth": 1}}}
"""The config's section of each that is measured."""
MAX_TREES_LOSS, MAX_MLP_LOSS, MAX_BRIER = 0.003, 0.01, 0.085
TREES, BAGS, ROUNDS, DEPTH = 200, 10, 50, 3
"""Of balanced_random_forest and easy_ensemble when nothing is said. Stumps are imbalanced-learn's
default."""

Scores = dict[str, list[float]]


def run() -> Iterator[Claim]:
    """Yields the claims on AUC-PR and Brier."""
    ours: dict[str, Scores] = {name: {"auc_pr": [], "brier": []} for name in TRAIN}
    peers: dict[str, Scores] = {name: {"auc_pr": [], "brier": []} for name in PEERS}
    with tempfile.TemporaryDirectory(prefix="learner_bank-") as folder:
        for seed in SEEDS:
            for name, found in ours.items():
                finished = _run(Path(folder), name, seed)
                for metric, values in found.items():
                    values.append(finished.summary["metrics"]["test"][metric])
            rows = {split: finished.rows(split) for split in ("train", "val", "test")}
            for name, fit in PEERS.items():
                _add(peers[name], rows["test"], fit(rows["train"], rows["val"], rows["test"], seed))
    trees = ours["boosted_trees"]["auc_pr"]
    yield _no_worse("boosted_trees", trees, peers["boosted_trees"]["auc_pr"], MAX_TREES_LOSS)
    yield _no_worse("mlp", ours["mlp"]["auc_pr"], trees, MAX_MLP_LOSS)
    for name in (*CALIBRATED, STUMPS):
        yield _equal(name, ours[name]["auc_pr"], peers[name]["auc_pr"])
    for name in CALIBRATED:
        brier = mean(ours[name]["brier"])
        yield Claim(
            f"bank, {name}: test Brier as pushed, mean of 5 seeds, against imbalanced-learn's",
            ours=brier,
            peer=mean(peers[name]["brier"]),
            ratio=mean(peers[name]["brier"]) / brier,
            unit="Brier",
            bar=f"ours <= {MAX_BRIER}",
            ok=brier <= MAX_BRIER,
        )


def _run(folder: Path, learner: str, seed: int) -> Run:
    """Runs of one seed share what is cached."""
    path = ROOT / "configs" / "learners" / "bank.yaml"
    return run_config(
        path,
        folder,
        {
            "name": f"bank-{seed}",
            "seed": seed,
            "gates": {"champion": []},
            "train": TRAIN[learner],
        },
    )


def _no_worse(name: str, ours: list[float], peer: list[float], most: float) -> Claim:
    than = "our boosted trees" if name == "mlp" else "xgboost's XGBClassifier"
    loss = mean(peer) - mean(ours)
    return Claim(
        f"bank, {name}: test AUC-PR, mean of 5 seeds, against {than}",
        ours=mean(ours),
        peer=mean(peer),
        ratio=mean(ours) / mean(peer),
        unit="AUC-PR",
        bar=f"loss <= {most}",
        ok=loss <= most,
        detail=f"differences {[round(a - b, 4) for a, b in zip(ours, peer, strict=True)]}",
    )


def _equal(name: str, ours: list[float], peer: list[float]) -> Claim:
    p = float(stats.ttest_rel(ours, peer).pvalue)
    return Claim(
        f"bank, {name}: test AUC-PR, mean of 5 seeds, against imbalanced-learn's",
        ours=mean(ours),
        peer=mean(peer),
        ratio=mean(ours) / mean(peer),
        unit="AUC-PR",
        bar="no lower than the noise: p >= 0.05 in a paired t test, or higher",
        ok=p >= 0.05 or mean(ours) >= mean(peer),
        detail=f"p {p:.2f}; "
        f"differences {[round(a - b, 4) for a, b in zip(ours, peer, strict=True)]}",
    )


def _add(found: Scores, test: pd.DataFrame, probability: np.ndarray) -> None:
    found["auc_pr"].append(float(average_precision_score(test["y"] == "yes", probability)))
    found["brier"].append(float(brier_score_loss(test["y"] == "yes", probability)))


def _features(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Names of texts and numbers."""
    names = [name for name in rows if name not in ("y", "_row_id", "duration")]
    texts = [name for name in names if rows[name].dtype == object]
    return texts, [name for name in names if name not in texts]


def _xgboost(train: pd.DataFrame, val: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
    texts, numbers = _features(train)
    kinds = {name: pd.CategoricalDtype(sorted(train[name].unique())) for name in texts}
    model = classifier(seed, enable_categorical=True)
    train, val, test = (rows.astype(kinds) for rows in (train, val, test))
    columns = [*texts, *numbers]
    model.fit(
        train[columns],
        train["y"] == "yes",
        eval_set=[(val[columns], val["y"] == "yes")],
        verbose=False,
    )
    return np.asarray(model.predict_proba(test[columns])[:, 1])


def _imblearn(make: Callable[[int], object]) -> Callable[..., np.ndarray]:
    def fit(train: pd.DataFrame, val: pd.DataFrame, test: pd.DataFrame, seed: int) -> np.ndarray:
        texts, numbers = _features(train)
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), texts), ("passthrough", numbers)
        )
        model = make_pipeline(columns, make(seed)).fit(train, train["y"] == "yes")
        return np.asarray(model.predict_proba(test)[:, 1])

    return fit


PEERS: dict[str, Callable[..., np.ndarray]] = {
    "boosted_trees": _xgboost,
    "balanced_random_forest": _imblearn(
        lambda seed: BalancedRandomForestClassifier(
            TREES, sampling_strategy="all", replacement=True, bootstrap=False, random_state=seed
        )
    ),
    "easy_ensemble": _imblearn(
        lambda seed: EasyEnsembleClassifier(
            BAGS,
            ada_boost(DEPTH, n_estimators=ROUNDS),
            random_state=seed,
        )
    ),
    STUMPS: _imblearn(lambda seed: EasyEnsembleClassifier(BAGS, random_state=seed)),
}
