"""Made-up runs: what every report would hold, without a pipeline."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tfx_imbalance.components import metrics
from tfx_imbalance.components.calibrator.report import Calibration
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.drift_check.report import Drift, FeatureDrift
from tfx_imbalance.components.gate.report import GateResult, Gating, SliceMetrics
from tfx_imbalance.components.imbalance_detector.report import (
    Check,
    Imbalance,
    Recommendation,
    SliceCounts,
)
from tfx_imbalance.components.metrics import Scores
from tfx_imbalance.components.rebalancer.report import Rebalancing
from tfx_imbalance.components.reporter.summary import NodeRun, RunInputs
from tfx_imbalance.components.trainer.report import Epoch, Training

BINARY = ["no", "yes"]
BINARY_COUNTS = [27946, 3702]
MANY = [
    "No_Injury", "Possible_Injury", "Nonincapaciting_Evident_Injury", "Incapaciting_Injury",
    "Fatal_Injury", "Injured_Severity_Unknown", "Died_Prior_to_Accident", "Unknown",
]  # fmt: skip
MANY_COUNTS = [14005, 9705, 14040, 10550, 29510, 200, 9, 1039]

CONFIG = """\
name: bank
seed: 7
data:
  path: data/Bank-bias-data.csv.gz
  label: y
  exclude: [duration]
rebalance:
  method: under
  sampling_strategy: 0.5
class_weights:
  scheme: none
gates:
  absolute:
    - {metric: auc_pr, min: 0.35}
"""


def make_scores(
    split: str, classes: Sequence[str], counts: Sequence[int], seed: int = 0
) -> tuple[Scores, np.ndarray]:
    """Calibrated scores of a middling model, and what they were before calibration.

    Returns:
      scores; float64 [n, n_classes], the same distorted towards the rare classes.
    """
    random = np.random.default_rng(seed)
    prior = np.asarray(counts, np.float64) / sum(counts)
    total, k = sum(counts), len(classes)
    logits = np.log(prior + 1e-12) + random.normal(0, 1.1, (total, k))
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < random.random((total, 1))).sum(axis=1).clip(max=k - 1)
    raw = probabilities / np.maximum(prior, 1e-4) ** 0.7
    raw /= raw.sum(axis=1, keepdims=True)
    decisions = (probabilities[:, 1] >= 0.25).astype(np.int64) if k == 2 else raw.argmax(axis=1)
    return Scores(split, labels, probabilities, decisions, np.ones(total), list(classes)), raw


def make_imbalance(
    classes: Sequence[str], counts: Sequence[int], checks: Sequence[Check] = ()
) -> Imbalance:
    train = dict(zip(classes, counts, strict=True))
    part = {name: max(n * 15 // 70, 1) for name, n in train.items()}
    minority, majority = min(train, key=train.get), max(train, key=train.get)
    shares = np.array(counts) / sum(counts)
    return Imbalance(
        label="y",
        classes=list(classes),
        positive=classes[1] if len(classes) == 2 else None,
        counts={"train": train, "val": part, "test": dict(part)},
        unlabelled={"train": 0, "val": 0, "test": 0},
        majority=majority,
        minority=minority,
        minority_share=train[minority] / sum(counts),
        imbalance_ratio=train[majority] / train[minority],
        normalized_entropy=float(-(shares * np.log(shares)).sum() / np.log(len(classes))),
        severity="moderate" if len(classes) == 2 else "extreme",
        prior_shift={"val": 0.00012, "test": 0.00021},
        slices=[
            SliceCounts(split="train", column="job", value=job, counts=dict.fromkeys(classes, 11))
            for job in ("admin.", "student", "retired")
        ],
        class_weights=dict.fromkeys(classes, 1.0),
        suggested_class_weights={"balanced": dict.fromkeys(classes, 1.0)},
        anomalies={"train": [], "val": ["job: Unexpected string values: astronaut (1 row)"]},
        checks=list(checks)
        or [
            Check(name="counts", level="ok", message="Class counts sum to the labelled rows."),
            Check(name="missing", level="ok", message="Every class is in every split."),
            Check(
                name="severity",
                level="warn",
                message=f"Class {minority} has {train[minority]} rows of {sum(counts):,} in train.",
            ),
        ],
        recommendation=Recommendation(
            technique="no rebalancing, a tuned threshold",
            reasons=[
                f"{minority} has {train[minority]:,} rows in train: enough to learn from.",
                "A neural network with a tuned threshold rarely gains from rebalancing "
                "(Elor and Averbuch-Elor 2022).",
            ],
        ),
    )


def make_training(classes: Sequence[str], epochs: int = 14) -> Training:
    curve = [
        0.28 + 0.15 * (1 - np.exp(-e / 3)) - 0.0012 * max(e - 9, 0) for e in range(1, epochs + 1)
    ]
    return Training(
        learner="mlp",
        device="CPU (2 cores)",
        mixed_precision=False,
        class_weights=dict.fromkeys(classes, 1.0),
        factors=dict.fromkeys(classes, 1.0),
        kind="none",
        rows=31648,
        seconds=21.4,
        best_epoch=9 if epochs >= 9 else epochs or None,
        history=[
            Epoch(
                epoch=e,
                seconds=1.5,
                train_loss=0.42 * np.exp(-e / 5) + 0.27,
                val_loss=0.30 * np.exp(-e / 4) + 0.285 + 0.001 * max(e - 9, 0),
                val_auc_pr=curve[e - 1],
                val_recall=dict.fromkeys(classes, 0.5),
            )
            for e in range(1, epochs + 1)
        ],
    )


def make_gate(
    metric: str, value: float | None, bound: float, where: str = "overall", **more: object
):
    verdict = more.pop("verdict", "pass")
    said = {
        "pass": f"{metric} of {where} is {value}, at least {bound}.",
        "fail": f"{metric} of {where} is {value}, but must be at least {bound}.",
        "skipped": f"{where} has 61 rows and 4 positives, too few to judge (100 and 10 needed).",
    }[verdict]
    return GateResult(
        gate=more.pop("gate", "absolute"),
        metric=metric,
        slice=where,
        value=value,
        bound=bound,
        direction=more.pop("direction", "min"),
        champion_value=more.pop("champion_value", None),
        examples=more.pop("examples", 6782.0),
        positives=more.pop("positives", 793.0),
        verdict=verdict,
        message=said,
    )


def make_run(
    classes: Sequence[str] = BINARY,
    counts: Sequence[int] = BINARY_COUNTS,
    outcome: str = "pushed",
    name: str = "bank",
) -> RunInputs:
    """A run that reached its end."""
    binary = len(classes) == 2
    part = [max(n * 15 // 70, 1) for n in counts]
    (val, raw), (test, _) = (
        make_scores(s, classes, part, i) for i, s in enumerate(("val", "test"))
    )
    blocked = outcome == "not blessed"
    after = [round(counts[1] / 0.5), counts[1]] if binary else [min(n, 9000) for n in counts]
    factors = {c: a / n for c, a, n in zip(classes, after, counts, strict=True)}
    measured = {k: v for k, v in metrics.summary(test).items() if not np.isnan(v)}
    slice_names = ["job=admin.", "job=blue-collar", "job=retired", "job=student", "job=unknown"]
    rows = [float(sum(part)), 778.0, 1461.0, 340.0, 141.0, 61.0]
    first = "fail" if blocked else "pass"
    results = [
        make_gate("auc_pr", round(measured["auc_pr"], 3), 0.35, verdict=first),
        make_gate(
            "auc_pr", round(measured["auc_pr"], 3), 0.295, gate="champion", champion_value=0.2997
        ),
        make_gate("ece", 0.008, 0.02, direction="max"),
        make_gate(
            "recall", 0.41, 0.45, "job=student", gate="slice", examples=141.0, positives=40.0,
            verdict=first,
        ),
        make_gate(
            "recall", None, 0.45, "job=unknown", gate="slice", examples=61.0, positives=4.0,
            verdict="skipped",
        ),
    ]  # fmt: skip
    return RunInputs(
        name=name,
        run_id="20261124T234805",
        outcome=outcome,
        imbalance=make_imbalance(classes, counts),
        rebalancing=Rebalancing(
            method="under",
            sampling_strategy=0.5 if binary else "not minority",
            seed=7,
            before=dict(zip(classes, counts, strict=True)),
            after=dict(zip(classes, after, strict=True)),
            kept=dict(zip(classes, after, strict=True)),
            duplicated=dict.fromkeys(classes, 0),
            synthetic=dict.fromkeys(classes, 0),
            weights=dict.fromkeys(classes, 1.0),
            factors=factors,
            kind="prior_only",
            recall={},
            row_identity="feature",
        ),
        training=make_training(classes),
        calibration=Calibration(
            classes=list(classes),
            positive=classes[1] if binary else None,
            factors=factors,
            kind="prior_only",
            prior_corrected=True,
            method="none",
            method_reason="the prior correction is exact and ECE on val, 0.006, is below 0.01",
            objective="f_beta (beta 1)",
            threshold=0.25 if binary else None,
            decision_matrix=np.eye(len(classes)).tolist(),
            val_rows=len(val.labels),
            val_metrics_raw=metrics.summary(
                Scores("val", val.labels, raw, raw.argmax(axis=1), val.weights, classes)
            ),
            val_metrics_corrected=metrics.summary(val),
            val_metrics=metrics.summary(val),
            mean_score=dict(zip(classes, val.probabilities.mean(axis=0), strict=True)),
            prevalence={c: float((val.labels == k).mean()) for k, c in enumerate(classes)},
            model_fingerprint="0f" * 32,
        ),
        gating=Gating(
            verdict="blocked" if blocked else "blessed",
            message="2 of 4 gates failed, 1 was skipped."
            if blocked
            else "4 gates passed, 1 was skipped.",
            champion_version="1764021600",
            results=results,
            slices=[
                SliceMetrics(
                    slice=slice_name,
                    examples=n,
                    positives=round(n * 0.117),
                    metrics={
                        k: measured[k] for k in ("auc", "auc_pr", "recall", "precision", "ece")
                    },
                    champion_metrics={
                        k: measured[k] - 0.004
                        for k in ("auc", "auc_pr", "recall", "precision", "ece")
                    },
                )
                for slice_name, n in zip(["overall", *slice_names], rows, strict=True)
            ],
        ),
        drift=Drift(
            champion_version="1764021600",
            prior_then=dict.fromkeys(classes, 1 / len(classes)),
            prior_now={c: n / sum(counts) for c, n in zip(classes, counts, strict=True)},
            prior_change=-0.02,
            features=[
                FeatureDrift(feature=f, measure=m, distance=d, level=level)
                for f, m, d, level in (
                    ("balance", "jensen_shannon_divergence", 0.004, "ok"),
                    ("job", "l_infinity", 0.012, "ok"),
                    ("month", "l_infinity", 0.071, "warn"),
                )
            ],
            new_features=[],
            missing_features=[],
            verdict="warn",
            messages=["month moved by 0.071, above 0.05."],
        ),
        champion=ChampionInfo(
            version="1764021600",
            message="serving/1764021600, pushed on 24 November 2026",
            model_fingerprint="a1" * 32,
            classes=list(classes),
            comparable=True,
        ),
        val_scores={
            "labels": val.labels,
            "weights": val.weights,
            "raw": raw,
            "corrected": val.probabilities,
            "probabilities": val.probabilities,
            "decisions": val.decisions,
        },
        test_scores=test,
        pushed_path="runs/bank/serving/1764028800" if outcome == "pushed" else None,
        timings=[
            NodeRun("StratifiedExampleGen", 2.1, True, "45,211 rows in 3 splits"),
            NodeRun("StatisticsGen", 6.4, True, "16 features, 3 slices"),
            NodeRun("ImbalanceDetector", 0.2, True, "1 : 7.5, moderate"),
            NodeRun("Transform", 16.9, True, "15 features"),
            NodeRun("Trainer", 24.0, False, "mlp, 14 epochs"),
            NodeRun("Calibrator", 3.2, False, "threshold 0.25"),
            NodeRun("Evaluator", 11.8, False, "6 slices"),
        ],
        versions={
            "tfx-imbalance": "0.1.0",
            "TFX": "1.16.0",
            "TensorFlow": "2.16.2",
            "Python": "3.10.13",
        },
        seed=7,
        config=CONFIG,
    )


@pytest.fixture(scope="session")
def binary_run() -> RunInputs:
    return make_run()


@pytest.fixture(scope="session")
def many_run() -> RunInputs:
    return make_run(MANY, MANY_COUNTS, name="fars")


@pytest.fixture(scope="session")
def blocked_run() -> RunInputs:
    return make_run(outcome="not blessed")


@pytest.fixture(scope="session")
def data_failed_run() -> RunInputs:
    checks = [
        Check(name="counts", level="ok", message="Class counts sum to the labelled rows."),
        Check(
            name="class_smaller_than",
            level="fail",
            message="Class yes has 1 row in train; checks.fail_on.class_smaller_than asks for 2.",
        ),
        Check(
            name="severity", level="fail", message="Severity is extreme; checks.fail_on forbids it."
        ),
        Check(name="prior", level="warn", message="The share of yes differs between splits."),
    ]
    return RunInputs(
        name="bank",
        run_id="20261124T234805",
        outcome="data check failed",
        imbalance=make_imbalance(BINARY, [27946, 1], checks),
        timings=[NodeRun("StratifiedExampleGen", 2.1, False, "45,211 rows in 3 splits")],
    )


@pytest.fixture(scope="session")
def crashed_run() -> RunInputs:
    return RunInputs(
        name="bank",
        run_id="20261124T234805",
        outcome="failed",
        error=("Trainer", "No space left on device: runs/bank/20261124T234805/Trainer/model"),
    )


@pytest.fixture(scope="session")
def run_maker() -> Callable[..., RunInputs]:
    return make_run


@pytest.fixture(scope="session")
def scores_maker() -> Callable[..., tuple[Scores, np.ndarray]]:
    return make_scores
