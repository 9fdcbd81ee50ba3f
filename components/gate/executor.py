"""Reads Evaluator's figures and the reports; writes the blessing and the gate report."""

import os
from typing import Any

from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from .. import progress
from ..artifact_io import ArtifactDict, read_report, write_report
from ..calibrator.report import Calibration
from ..champion.report import ChampionInfo
from ..imbalance_detector.report import Imbalance
from .evaluation_reader import read_evaluation
from .gates import decide
from .params import GateParams


class Executor(base_executor.BaseExecutor):
    """Executor of Gate."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges the model.

        Args:
          input_dict: `evaluation` (ModelEvaluation), `model` (Model, the judged one),
            `calibration_report` (CalibrationReport), `imbalance_report` (ImbalanceReport) and
            `champion` (Champion).
          output_dict: `blessing` (ModelBlessing) and `report` (GateReport).
          exec_properties: `params`, JSON of GateParams; `code_fingerprint` is for the cache.

        Raises:
          DataCheckError: nothing was measured.
          UserError: there is a comparable champion, but Evaluator was not given it.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        imbalance = read_report(input_dict, "imbalance_report", Imbalance)
        gating = decide(
            read_evaluation(artifact_utils.get_single_uri(input_dict["evaluation"])),
            GateParams.from_property(exec_properties["params"]),
            read_report(input_dict, "champion", ChampionInfo),
            imbalance.classes.index(imbalance.positive or imbalance.minority),
            read_report(input_dict, "calibration_report", Calibration).model_fingerprint,
        )
        progress.say(f"{gating.verdict}: {gating.message}")
        write_report(output_dict, "report", gating)
        _write_blessing(input_dict, output_dict, gating.verdict == "blessed")


def _write_blessing(input_dict: ArtifactDict, output_dict: ArtifactDict, blessed: bool) -> None:
    """Writes what TFX's Evaluator writes for a model, and Pusher reads."""
    model = artifact_utils.get_single_instance(input_dict["model"])
    blessing = artifact_utils.get_single_instance(output_dict["blessing"])
    blessing.set_string_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri
    )
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if blessed else constants.NOT_BLESSED_VALUE,
    )
    name = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
