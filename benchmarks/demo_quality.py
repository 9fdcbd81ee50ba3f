"""What the bank demo is worth: five seeds of splits, ours beside scikit-learn's MLPClassifier.

Both see the same rows without `duration`; the peer has one-hot categories, standardised numbers
and its own defaults. All figures are of test.
"""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks._bank import PLAIN, Run, mean, run_bank
from benchmarks.claims import Claim

SEEDS = (0, 1, 2, 3, 4)
MAX_ECE, MAX_BRIER_RATIO, MAX_MEAN_ERROR = 0.02, 1.02, 0.03


def run() -> Iterator[Claim]:
    """Yields the claims on AUC-PR, Brier, ECE and the mean score."""
    ours, plain, peer = [], [], []
    with tempfile.TemporaryDirectory(prefix="demo_quality-") as folder:
        for seed in SEEDS:
            plain.append(run_bank(Path(folder), seed, PLAIN).summary["metrics"]["test"])
            finished = run_bank(Path(folder), seed)
            ours.append(
                {**finished.summary["metrics"]["test"], "mean_error": _mean_error(finished)}
            )
            peer.append(_peer(finished.rows("train"), finished.rows("test"), seed))
    auc_pr = [run["auc_pr"] for run in ours]
    gain = mean([a - b for a, b in zip(auc_pr, peer, strict=True)])
    yield Claim(
        "bank demo: test AUC-PR, mean of 5 seeds, against scikit-learn's MLPClassifier",
        ours=mean(auc_pr),
        peer=mean(peer),
        ratio=mean(auc_pr) / mean(peer),
        unit="AUC-PR",
        bar="mean paired difference >= 0",
        ok=gain >= 0,
        detail=f"differences {[round(a - b, 4) for a, b in zip(auc_pr, peer, strict=True)]}",
    )
    brier, plain_brier = mean([r["brier"] for r in ours]), mean([r["brier"] for r in plain])
    yield Claim(
        "bank demo: test Brier, mean of 5 seeds, against our plain run",
        ours=brier,
        peer=plain_brier,
        ratio=plain_brier / brier,
        unit="Brier",
        bar=f"ours <= {MAX_BRIER_RATIO} x plain",
        ok=brier <= MAX_BRIER_RATIO * plain_brier,
        detail=f"plain run's AUC-PR {mean([r['auc_pr'] for r in plain]):.4f}",
    )
    for name, bar, unit in (("ece", MAX_ECE, "ECE"), ("mean_error", MAX_MEAN_ERROR, "share")):
        values = [run[name] for run in ours]
        yield Claim(
            f"bank demo: test {NAMES[name]}, mean of 5 seeds",
            ours=mean(values),
            peer=None,
            ratio=None,
            unit=unit,
            bar=f"<= {bar}",
            ok=mean(values) <= bar,
            detail=f"each: {[round(value, 4) for value in values]}",
        )


NAMES = {"ece": "ECE", "mean_error": "error of the mean score against the prevalence, relative"}


def _mean_error(finished: Run) -> float:
    """How far the mean probability of 'yes' on test is from its share, by that share."""
    import glob

    import tensorflow as tf

    from tfx_imbalance.components import scoring

    calibration = finished.report("Calibrator")
    folder = max((finished.workspace / "serving").iterdir())
    raw = max(
        (finished.workspace / "artifacts" / "StratifiedExampleGen" / "examples").iterdir(),
        key=lambda path: int(path.name),
    )
    files = sorted(glob.glob(str(raw / "Split-test" / "*")))
    tf.get_logger().setLevel("ERROR")
    scores = scoring.score_split(str(folder), files, "test", "y", calibration["classes"], None)
    prevalence = float((scores.labels == 1).mean())
    return abs(float(scores.probabilities[:, 1].mean()) - prevalence) / prevalence


def _peer(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> float:
    features = [name for name in train if name not in ("y", "_row_id")]
    texts = [name for name in features if train[name].dtype == object]
    numbers = [name for name in features if name not in texts]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), texts), (StandardScaler(), numbers)
        ),
        MLPClassifier(random_state=seed),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its defaults stop at 200 epochs
        model.fit(train[features], train["y"] == "yes")
    return float(
        average_precision_score(test["y"] == "yes", model.predict_proba(test[features])[:, 1])
    )
