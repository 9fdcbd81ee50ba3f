"""What a node has made, in a few words."""

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from ...components.artifact_io import read_report
from ...components.calibrator.report import Calibration
from ...components.champion.report import ChampionInfo
from ...components.drift_check.report import Drift
from ...components.example_gen.notes import NOTES_PROPERTY, from_text
from ...components.gate.report import Gating
from ...components.imbalance_detector.report import Imbalance
from ...components.rebalancer.report import Rebalancing
from ...components.report import Report
from ...components.trainer.report import Training
from ...components.tuner.report import Tuning

Outputs = dict[str, list[Any]]
R = TypeVar("R", bound=Report)


def describe(node: str, outputs: Outputs) -> str:
    """One phrase on the outputs of the node with this id; '' for a node it does not know."""
    how = _BY_NODE.get(node)
    return how(outputs) if how else ""


def remarks(node: str, outputs: Outputs) -> list[str]:
    """What the node found that a user should know, a sentence each."""
    if node != "StratifiedExampleGen":
        return []
    [artifact] = outputs["examples"]
    found = from_text(artifact.get_string_custom_property(NOTES_PROPERTY))
    return [note.message for note in found]


def _examples(outputs: Outputs) -> str:
    [artifact] = outputs["examples"]
    counts = json.loads(artifact.get_string_custom_property("split_counts") or "{}")
    rows = {split: sum(by_class.values()) for split, by_class in counts.items()}
    parts = ", ".join(f"{split} {n:,}" for split, n in rows.items())
    return f"{sum(rows.values()):,} rows: {parts}"


def _statistics(outputs: Outputs) -> str:
    [artifact] = outputs["statistics"]
    return "of " + ", ".join(artifact_utils.decode_split_names(artifact.split_names))


def _schema(outputs: Outputs) -> str:
    [artifact] = outputs["schema"]
    schema = io_utils.SchemaReader().read(os.path.join(artifact.uri, "schema.pbtxt"))
    return f"{len(schema.feature)} columns"


def _anomalies(outputs: Outputs) -> str:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    [artifact] = outputs["anomalies"]
    found = 0
    for split in artifact_utils.decode_split_names(artifact.split_names):
        uri = artifact_utils.get_split_uri([artifact], split)
        with fileio.open(os.path.join(uri, "SchemaDiff.pb"), "rb") as file:
            found += len(anomalies_pb2.Anomalies.FromString(file.read()).anomaly_info)
    return f"{found} anomalies" if found else "no anomalies"


def _imbalance(report: Imbalance) -> str:
    return (
        f"{len(report.classes)} classes, smallest {report.minority!r} "
        f"{report.minority_share:.2%} of train, ratio {report.imbalance_ratio:.1f}: "
        f"{report.severity}"
    )


def _rebalancing(report: Rebalancing) -> str:
    changed = [
        f"{name} {report.before[name]:,} to {n:,}"
        for name, n in report.after.items()
        if n != report.before[name]
    ]
    shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
    return f"{report.method}: {shown or 'nothing to change'}"


def _tuning(report: Tuning) -> str:
    mean, std = report.mean[report.metric], report.std[report.metric]
    pruned = sum(trial.status == "pruned" for trial in report.trials)
    shorter = f", {pruned} pruned" if pruned else ""
    return (
        f"{len(report.trials)} trials{shorter}; best {report.metric} {mean:.3f} ± {std:.3f} over "
        f"{len(report.fold_counts)} folds (trial {report.best})"
    )


def _training(report: Training) -> str:
    # Boosting writes down some of its rounds only.
    last = report.history[-1].epoch if report.history else 0
    best = f", best {report.unit} {report.best_epoch} of {last}" if report.best_epoch else ""
    return f"{report.learner} on {report.device}{best}"


def _calibration(report: Calibration) -> str:
    undone = "prior corrected, " if report.prior_corrected else ""
    at = f", threshold {report.threshold:.3f}" if report.threshold is not None else ""
    return f"{undone}calibration {report.method}{at} ({report.objective} on val)"


def _drift(report: Drift) -> str:
    return report.verdict + (f": {report.messages[0]}" if report.messages else "")


def _pushed(outputs: Outputs) -> str:
    [artifact] = outputs["pushed_model"]
    if not artifact.get_int_custom_property("pushed"):
        return "nothing pushed"
    return artifact.get_string_custom_property("pushed_destination")


def _of(key: str, kind: type[R], phrase: Callable[[R], str]) -> Callable[[Outputs], str]:
    return lambda outputs: phrase(read_report(outputs, key, kind))


_BY_NODE: dict[str, Callable[[Outputs], str]] = {
    "StratifiedExampleGen": _examples,
    "StatisticsGen": _statistics,
    "SchemaGen": _schema,
    "ImportSchemaGen": _schema,
    "ExampleValidator": _anomalies,
    "ImbalanceDetector": _of("report", Imbalance, _imbalance),
    "Transform": lambda _: "analysed on train",
    "Rebalancer": _of("report", Rebalancing, _rebalancing),
    "Tuner": _of("report", Tuning, _tuning),
    "Trainer": _of("report", Training, _training),
    "Calibrator": _of("report", Calibration, _calibration),
    "ChampionLoader": _of("champion", ChampionInfo, lambda report: report.message),
    "Evaluator": lambda _: "test, by TFMA",
    "Gate": _of("report", Gating, lambda report: f"{report.verdict}: {report.message}"),
    "Pusher": _pushed,
    "DriftCheck": _of("report", Drift, _drift),
    "Reporter": lambda _: "report.html, summary.json",
}
