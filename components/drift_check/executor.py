"""Reads statistics, reports and the champion; writes the drift report."""

from typing import Any

from tfx.dsl.components.base import base_executor

from ..artifact_io import ArtifactDict, read_report, write_report
from ..champion.report import ChampionInfo
from ..imbalance_detector.executor import read_statistics
from ..imbalance_detector.report import Imbalance
from ..names import TRAIN
from .drift import compare
from .params import DriftParams


class Executor(base_executor.BaseExecutor):
    """Executor of DriftCheck."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Compares the train split with the champion's.

        Args:
          input_dict: `statistics` (ExampleStatistics), `imbalance_report` (ImbalanceReport),
            `champion` (Champion), and `champion_statistics` (ExampleStatistics) or none.
          output_dict: `report` (DriftReport).
          exec_properties: `params`, JSON of DriftParams; `code_fingerprint` is for the cache.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        then = (
            read_statistics(input_dict, "champion_statistics")[TRAIN]
            if input_dict.get("champion_statistics")
            else None
        )
        report = compare(
            read_statistics(input_dict, "statistics")[TRAIN],
            then,
            read_report(input_dict, "imbalance_report", Imbalance),
            read_report(input_dict, "champion", ChampionInfo),
            DriftParams.from_property(exec_properties["params"]),
        )
        write_report(output_dict, "report", report)
