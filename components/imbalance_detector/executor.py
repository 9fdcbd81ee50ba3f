"""Reads statistics, schema and anomalies; writes the report, or fails with it."""

import os
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from ..artifact_io import ArtifactDict, write_report
from ..example_gen import notes
from ..names import TRAIN
from .counts import Statistics
from .detect import detect, optional, with_row_id
from .errors import ImbalanceCheckFailed
from .params import DetectorParams


class Executor(base_executor.BaseExecutor):
    """Executor of ImbalanceDetector."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Counts classes and runs the checks.

        Args:
          input_dict: `statistics` (ExampleStatistics), `schema` (Schema), and `anomalies`
            (ExampleAnomalies) and `examples` (Examples of StratifiedExampleGen) or none.
          output_dict: `report` (ImbalanceReport) and `checked_schema` (Schema).
          exec_properties: `params`, JSON of DetectorParams; `code_fingerprint` is for the cache.

        Raises:
          ImbalanceCheckFailed: a check forbids training; the exception carries the report.
          UserError: the params do not fit the data.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        params: DetectorParams = DetectorParams.from_property(exec_properties["params"])
        schema_path = io_utils.get_only_uri_in_dir(
            artifact_utils.get_single_uri(input_dict["schema"])
        )
        schema = tfdv.load_schema_text(schema_path)
        statistics = read_statistics(input_dict, "statistics")
        report = detect(
            statistics,
            schema,
            params,
            _read_anomalies(input_dict) if input_dict.get("anomalies") else None,
            _read_notes(input_dict),
        )
        report.identity = _read_identity(input_dict)
        if report.failed:
            raise ImbalanceCheckFailed(report)
        write_report(output_dict, "report", report)
        if not params.schema_file:
            schema = optional(schema, statistics[TRAIN], params.label)
        uri = artifact_utils.get_single_uri(output_dict["checked_schema"])
        io_utils.write_pbtxt_file(
            os.path.join(uri, os.path.basename(schema_path)),
            with_row_id(schema) if params.row_id else schema,
        )


def read_statistics(artifacts: ArtifactDict, key: str) -> dict[str, Statistics]:
    """split -> statistics of the single ExampleStatistics artifact under `key`."""
    return {
        split: tfdv.load_stats_binary(path) for split, path in _split_files(artifacts, key).items()
    }


def _read_anomalies(artifacts: ArtifactDict) -> dict[str, anomalies_pb2.Anomalies]:
    found = {}
    for split, path in _split_files(artifacts, "anomalies").items():
        with fileio.open(path, "rb") as file:
            found[split] = anomalies_pb2.Anomalies.FromString(file.read())
    return found


def _read_notes(artifacts: ArtifactDict) -> list[notes.Note]:
    return [
        note
        for artifact in artifacts.get("examples") or ()
        for note in notes.from_text(artifact.get_string_custom_property(notes.NOTES_PROPERTY))
    ]


def _read_identity(artifacts: ArtifactDict) -> notes.Identity | None:
    for artifact in artifacts.get("examples") or ():
        if text := artifact.get_string_custom_property(notes.IDENTITY_PROPERTY):
            return notes.Identity.model_validate_json(text)
    return None


def _split_files(artifacts: ArtifactDict, key: str) -> dict[str, str]:
    """split -> the one file in it."""
    artifact = artifact_utils.get_single_instance(artifacts[key])
    return {
        split: io_utils.get_only_uri_in_dir(artifact_utils.get_split_uri([artifact], split))
        for split in artifact_utils.decode_split_names(artifact.split_names)
    }
