"""Executor of Calibrator."""

import io
import os
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from .. import artifact_io, progress, scoring
from ..errors import DataCheckError
from ..imbalance_detector.report import Imbalance
from ..names import EXTRA_DIR, NETWORK_FILE, TRAIN, VAL
from ..rebalancer.report import Rebalancing
from ..report import worst_kind
from ..trainer.report import Training
from . import export, head, prior, threshold
from .params import CalibratorParams
from .raw_scores import RawForm
from .report import SCORES_FILE, Calibration

STATISTICS_FILE = "FeatureStats.pb"


class Executor(base_executor.BaseExecutor):
    """Scores val with the trained model, fits the head on it and writes the pushed model."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs Calibrator.

        Args:
          input_dict:
            - trained_model: Trainer's Model; `serving_default` takes raw serialized tf.Examples.
            - examples: raw Examples with a split val.
            - imbalance_report: ImbalanceReport, for the class order.
            - rebalance_report: RebalanceReport, or none.
            - training_report: TrainingReport.
            - statistics: ExampleStatistics with a split train.
          output_dict:
            - model: Model, in its Format-Serving folder.
            - report: CalibrationReport with report.json and val_scores.npz.
          exec_properties:
            - params: JSON of CalibratorParams.

        Raises:
          UserError: the model's output, the method or the objective cannot be used.
          DataCheckError: val has no labelled row, or unusable sample weights.
        """
        params = CalibratorParams.from_property(exec_properties["params"])
        imbalance = artifact_io.read_report(input_dict, "imbalance_report", Imbalance)
        rebalancing = artifact_io.read_report_if_any(input_dict, "rebalance_report", Rebalancing)
        training = artifact_io.read_report(input_dict, "training_report", Training)
        classes = imbalance.classes
        threshold.check(params.threshold, classes)
        steps = [step for step in (rebalancing, training) if step is not None]
        factors = prior.combined_factors(classes, *(step.factors for step in steps))
        kind = worst_kind(*(step.kind for step in steps))

        model_dir = path_utils.serving_model_path(
            artifact_utils.get_single_uri(input_dict["trained_model"])
        )
        model = scoring.load(model_dir)
        progress.say("scoring val with the trained model")
        files = artifact_io.split_files(input_dict, "examples", VAL)
        scored = scoring.score_files(model, files, params.label, classes, params.weight)
        if not scored.weights.sum() > 0:
            raise DataCheckError(f"column {params.weight!r}: every sample weight of val is 0")
        form = RawForm.of(scored.outputs, len(classes))
        logits = form.logits(scored.outputs).numpy()
        fitted = head.fit(logits, scored.labels, scored.weights, classes, factors, kind, params)
        report = head.report(fitted, imbalance, kind, factors).model_copy(
            update={"model_fingerprint": export.fingerprint(model, model_dir, fitted.head, classes)}
        )
        _say(report, scored.left_out)

        serving_dir = path_utils.serving_model_dir(
            artifact_utils.get_single_uri(output_dict["model"])
        )
        export.write(export.Pushed(model, form, fitted.head, params.label, classes), serving_dir)
        _write_extra(serving_dir, report, imbalance, input_dict)
        network = os.path.join(model_dir, EXTRA_DIR, NETWORK_FILE)
        if fileio.exists(network):  # what a later training may start from
            fileio.copy(network, os.path.join(serving_dir, EXTRA_DIR, NETWORK_FILE))
        artifact_io.write_report(output_dict, "report", report)
        _write_scores(artifact_utils.get_single_uri(output_dict["report"]), fitted)


def _write_extra(
    serving_dir: str,
    report: Calibration,
    imbalance: Imbalance,
    input_dict: dict[str, list[types.Artifact]],
) -> None:
    """Puts what makes the folder a champion of its own beside the model."""
    extra = os.path.join(serving_dir, EXTRA_DIR)
    fileio.makedirs(extra)
    for name, content in (("calibration.json", report), ("imbalance.json", imbalance)):
        text = content.model_dump_json(indent=2) + "\n"
        io_utils.write_string_file(os.path.join(extra, name), text)
    statistics = artifact_utils.get_split_uri(input_dict["statistics"], TRAIN)
    fileio.copy(os.path.join(statistics, STATISTICS_FILE), os.path.join(extra, STATISTICS_FILE))


def _write_scores(uri: str, fitted: head.Fitted) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        labels=fitted.scores.labels,
        weights=fitted.scores.weights,
        raw=fitted.raw,
        corrected=fitted.corrected,
        probabilities=fitted.scores.probabilities,
        decisions=fitted.scores.decisions,
    )
    with fileio.open(os.path.join(uri, SCORES_FILE), "wb") as file:
        file.write(buffer.getvalue())


def _say(report: Calibration, left_out: int) -> None:
    if left_out:
        progress.say(f"left out {left_out} rows of val without a known label")
    found = "" if report.threshold is None else f", threshold {report.threshold:.4g}"
    progress.say(
        f"{report.val_rows} rows of val: calibration {report.method}{found} for {report.objective}"
    )
    for warning in report.warnings:
        progress.say(f"warning: {warning}")
