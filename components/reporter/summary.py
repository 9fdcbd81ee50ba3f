"""What is known of a run, and its summary in figures and words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .. import metrics
from ..calibrator.report import Calibration
from ..champion.report import ChampionInfo
from ..drift_check.report import Drift
from ..gate.report import GateResult, Gating
from ..imbalance_detector.report import Imbalance
from ..metrics import BINARY_METRICS, Scores
from ..names import TEST, VAL
from ..rebalancer.report import Rebalancing
from ..trainer.report import Training
from ..tuner.report import Tuning
from .report import (
    Figures,
    Outcome,
    RunError,
    SliceSummary,
    SplitMetrics,
    Summary,
    TuningSummary,
)


class NodeRun(NamedTuple):
    """One node of the pipeline: whether TFX's cache had its outputs, and what it made, in words."""

    node: str
    seconds: float
    cached: bool
    made: str


@dataclass(frozen=True)
class RunInputs:
    """What is known of a run at its end; everything that it did not reach is None or empty.

    Attributes:
      val_scores: the arrays of Calibrator's val_scores.npz.
      test_scores: the pushed model's scores on test.
      config: the config's YAML text.
      error: node and message of what ended the run.
    """

    name: str
    run_id: str
    outcome: Outcome
    imbalance: Imbalance | None = None
    rebalancing: Rebalancing | None = None
    tuning: Tuning | None = None
    training: Training | None = None
    calibration: Calibration | None = None
    gating: Gating | None = None
    drift: Drift | None = None
    champion: ChampionInfo | None = None
    val_scores: Mapping[str, np.ndarray] | None = None
    test_scores: Scores | None = None
    pushed_path: str | None = None
    timings: Sequence[NodeRun] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    config: str | None = None
    error: tuple[str, str] | None = None

    def val(self, which: str = "probabilities") -> Scores | None:
        """The scores on val, if there are any.

        Args:
          which: 'raw', 'corrected' or 'probabilities'. The decisions are the pushed model's for
            the last one, the most probable class for the others.
        """
        if self.val_scores is None or self.calibration is None:
            return None
        chosen = np.asarray(self.val_scores[which], dtype=np.float64)
        final = which == "probabilities"
        return Scores(
            split=VAL,
            labels=self.val_scores["labels"],
            probabilities=chosen,
            decisions=self.val_scores["decisions"] if final else chosen.argmax(axis=1),
            weights=self.val_scores["weights"],
            classes=self.calibration.classes,
        )


def summarize(inputs: RunInputs) -> Summary:
    """The run's figures, and the reason of its outcome."""
    gating = inputs.gating
    champion = gating.champion_version if gating else None
    return Summary(
        name=inputs.name,
        run_id=inputs.run_id,
        outcome=inputs.outcome,
        message=_message(inputs),
        blessed=gating.verdict == "blessed" if gating else None,
        threshold=inputs.calibration.threshold if inputs.calibration else None,
        metrics=_metrics(inputs),
        slices={
            s.slice: SliceSummary(
                examples=s.examples, positives=s.positives, metrics=finite(s.metrics)
            )
            for s in (gating.slices[1:] if gating else ())
        },
        class_counts=class_counts(inputs),
        tuning=_tuning(inputs.tuning) if inputs.tuning else None,
        gates=[_finite_gate(result) for result in gating.results] if gating else [],
        timings={run.node: run.seconds for run in inputs.timings},
        cached=[run.node for run in inputs.timings if run.cached],
        versions=dict(inputs.versions),
        seed=inputs.seed,
        device=inputs.training.device if inputs.training else None,
        drift=inputs.drift.verdict if inputs.drift else None,
        champion=champion or (inputs.champion.version if inputs.champion else None),
        pushed_path=inputs.pushed_path,
        error=RunError(node=inputs.error[0], message=inputs.error[1]) if inputs.error else None,
    )


def _metrics(inputs: RunInputs) -> dict[str, SplitMetrics]:
    scored = {VAL: inputs.val(), TEST: inputs.test_scores}
    found = {
        split: split_metrics(scores)
        for split, scores in scored.items()
        if scores is not None and scores.weights.sum() > 0
    }
    if VAL not in found and inputs.calibration is not None:
        told = finite(inputs.calibration.val_metrics)
        val = SplitMetrics(**{name: told.get(name) for name in BINARY_METRICS}, per_class={})
        found = {VAL: val, **found}
    return found


def split_metrics(scores: Scores) -> SplitMetrics:
    """Every metric of one split."""
    total = metrics.summary(scores)
    return SplitMetrics(
        **finite({name: total[name] for name in BINARY_METRICS}),
        per_class={name: finite(found) for name, found in metrics.per_class(scores).items()},
    )


def _tuning(found: Tuning) -> TuningSummary:
    nested = found.nested
    return TuningSummary(
        metric=found.metric,
        folds=len(found.fold_counts),
        trials=len(found.trials),
        best=found.best,
        hyperparameters=found.hyperparameters,
        mean=finite(found.mean),
        std=finite(found.std),
        nested_mean=finite(nested.mean) if nested else None,
        nested_std=finite(nested.std) if nested else None,
    )


def class_counts(inputs: RunInputs) -> dict[str, dict[str, int]]:
    """split -> class -> rows; `rebalanced` stands after `train`."""
    if inputs.imbalance is None:
        return {}
    counts = {split: dict(found) for split, found in inputs.imbalance.counts.items()}
    if inputs.rebalancing is None:
        return counts
    train = counts.pop("train", dict(inputs.rebalancing.before))
    return {"train": train, "rebalanced": dict(inputs.rebalancing.after), **counts}


def reasons(inputs: RunInputs) -> list[str]:
    """Why the run ended as it did, a sentence each: failed gates, failed checks, the error."""
    if inputs.outcome == "not blessed" and inputs.gating:
        return [r.message for r in inputs.gating.results if r.verdict == "fail"]
    if inputs.outcome == "data check failed" and inputs.imbalance:
        return [check.message for check in inputs.imbalance.failed]
    return []


def finite(values: Mapping[str, float]) -> Figures:
    """The values, with None for NaN and infinity."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _message(inputs: RunInputs) -> str:
    if inputs.error is not None and inputs.outcome in ("failed", "user error"):
        return inputs.error[1]
    if inputs.outcome == "data check failed":
        failed = [check.message for check in inputs.imbalance.failed] if inputs.imbalance else []
        if failed:
            return " ".join(failed)
        return inputs.error[1] if inputs.error else "A data check failed."
    said = inputs.gating.message if inputs.gating else ""
    if inputs.outcome == "pushed" and inputs.pushed_path:
        said = f"{said} Pushed to {inputs.pushed_path}.".lstrip()
    return said or f"The run ended as {inputs.outcome}."


def _finite_gate(result: GateResult) -> GateResult:
    figures = finite(
        {
            name: value
            for name in ("value", "bound", "champion_value")
            if (value := getattr(result, name)) is not None
        }
    )
    return result.model_copy(update=figures)
