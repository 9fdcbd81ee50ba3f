"""Executor of Reporter."""

import io
import json
import os
from typing import Any

import numpy as np
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from .. import artifact_io, progress, scoring
from ..calibrator.report import SCORES_FILE, Calibration
from ..champion.report import ChampionInfo
from ..compat import versions
from ..drift_check.report import Drift
from ..gate.report import Gating
from ..imbalance_detector.report import Imbalance
from ..names import TEST
from ..rebalancer.report import Rebalancing
from ..trainer.report import Training
from ..tuner.report import Tuning
from .params import RunContext
from .report import Outcome
from .summary import NodeRun, RunInputs
from .write import PAGE_FILE, report_files


class Executor(base_executor.BaseExecutor):
    """Scores test with the calibrated model and writes the page and the summary."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs Reporter.

        Args:
          input_dict:
            - imbalance_report: ImbalanceReport.
            - rebalance_report: RebalanceReport, or none.
            - tuning_report: TuningReport, or none.
            - training_report: TrainingReport.
            - calibration_report: CalibrationReport, with val_scores.npz.
            - gate_report: GateReport.
            - drift_report: DriftReport, or none.
            - champion: Champion.
            - model: Calibrator's Model.
            - examples: raw Examples with a split test.
            - pushed_model: PushedModel, with Pusher's custom properties.
          output_dict:
            - report: RunReport with report.html and summary.json.
          exec_properties:
            - context: JSON of RunContext.
            - run_id: instead of the context's, if given.

        Raises:
          DataCheckError: test has no labelled row, or unusable sample weights.
        """
        context = RunContext.from_property(exec_properties["context"])
        imbalance = artifact_io.read_report(input_dict, "imbalance_report", Imbalance)
        gating = artifact_io.read_report(input_dict, "gate_report", Gating)
        pushed = artifact_utils.get_single_instance(input_dict["pushed_model"])
        outcome, error = _outcome(gating, bool(pushed.get_int_custom_property("pushed")))
        model_uri = artifact_utils.get_single_uri(input_dict["model"])
        test_scores = scoring.score_split(
            path_utils.serving_model_path(model_uri),
            artifact_io.split_files(input_dict, "examples", TEST),
            TEST,
            imbalance.label,
            imbalance.classes,
            context.weight,
        )
        inputs = RunInputs(
            name=context.name,
            run_id=exec_properties.get("run_id") or context.run_id,
            outcome=outcome,
            imbalance=imbalance,
            rebalancing=artifact_io.read_report_if_any(input_dict, "rebalance_report", Rebalancing),
            tuning=artifact_io.read_report_if_any(input_dict, "tuning_report", Tuning),
            training=artifact_io.read_report(input_dict, "training_report", Training),
            calibration=artifact_io.read_report(input_dict, "calibration_report", Calibration),
            gating=gating,
            drift=artifact_io.read_report_if_any(input_dict, "drift_report", Drift),
            champion=artifact_io.read_report(input_dict, "champion", ChampionInfo),
            val_scores=_val_scores(input_dict["calibration_report"]),
            test_scores=test_scores,
            pushed_path=(
                pushed.get_string_custom_property("pushed_destination")
                if outcome == "pushed"
                else None
            ),
            timings=_timings(context.timings_path),
            versions=context.versions or versions(),
            seed=context.seed,
            config=context.config,
            error=error,
        )
        uri = artifact_utils.get_single_uri(output_dict["report"])
        _, files = report_files(inputs)
        for name, text in files.items():
            io_utils.write_string_file(os.path.join(uri, name), text)
        progress.say(f"report: {os.path.join(uri, PAGE_FILE)}")


def _outcome(gating: Gating, pushed: bool) -> tuple[Outcome, tuple[str, str] | None]:
    """The run's outcome, and the error if it has one."""
    if gating.verdict == "unchanged":
        return "unchanged", None
    if gating.verdict == "blocked":
        return "not blessed", None
    if pushed:
        return "pushed", None
    return "failed", ("Pusher", "The model was blessed, but Pusher did not push it.")


def _val_scores(reports: list[types.Artifact]) -> dict[str, np.ndarray]:
    path = os.path.join(artifact_utils.get_single_uri(reports), SCORES_FILE)
    with fileio.open(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
        return dict(arrays)


def _timings(path: str | None) -> list[NodeRun]:
    if path is None or not fileio.exists(path):
        return []
    with fileio.open(path) as file:
        return [NodeRun(**run) for run in json.load(file)]
