"""Brings the model that was pushed last in as artifacts."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from .. import progress
from ..artifact_io import ArtifactDict, read_report, split_files, write_report
from ..examples_io import read_blocks
from ..imbalance_detector.report import Imbalance
from ..names import EXTRA_DIR, TEST, TRAIN
from .registry import STATISTICS, examine, latest_version

_TRIED_ROWS = 8


class Executor(base_executor.BaseExecutor):
    """Executor of ChampionLoader."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the champion's model and train statistics, where it is comparable.

        Args:
          input_dict: `imbalance_report` (ImbalanceReport); `examples` (raw Examples) or none;
            `schema` (Schema) or none.
          output_dict: `champion` (Champion); `model` (Model) and `statistics`
            (ExampleStatistics, split train), which are emptied where there is no comparable
            champion.
          exec_properties: `registry_dir`; `version`, '' for none, missing for the newest;
            `code_fingerprint` is for the cache.

        Raises:
          UserError: the version is not in the registry.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        registry_dir = exec_properties["registry_dir"]
        version = exec_properties.get("version")
        if version is None:
            version = latest_version(registry_dir) or ""
        classes = read_report(input_dict, "imbalance_report", Imbalance).classes
        blocks = _test_rows(input_dict) if version else iter(())
        records = list(next(blocks, ()))
        info = examine(registry_dir, version, classes, records, _schema(input_dict), blocks)
        progress.say(info.message)
        write_report(output_dict, "champion", info)
        folder = os.path.join(registry_dir, version)
        if info.comparable:
            model_uri = artifact_utils.get_single_uri(output_dict["model"])
            io_utils.copy_dir(folder, path_utils.serving_model_dir(model_uri))
        else:
            output_dict["model"] = []
        statistics = os.path.join(folder, EXTRA_DIR, STATISTICS)
        if info.comparable and fileio.exists(statistics):
            artifact = artifact_utils.get_single_instance(output_dict["statistics"])
            artifact.split_names = artifact_utils.encode_split_names([TRAIN])
            split_uri = artifact_utils.get_split_uri([artifact], TRAIN)
            io_utils.copy_file(statistics, os.path.join(split_uri, STATISTICS))
        else:
            output_dict["statistics"] = []


def _schema(input_dict: ArtifactDict) -> schema_pb2.Schema | None:
    if not input_dict.get("schema"):
        return None
    uri = artifact_utils.get_single_uri(input_dict["schema"])
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def _test_rows(input_dict: ArtifactDict) -> Iterator[np.ndarray]:
    """Blocks of the rows of test, the first one small, if `examples` is connected."""
    files = split_files(input_dict, "examples", TEST) if input_dict.get("examples") else []
    for i, block in enumerate(read_blocks(files)):
        if i == 0:
            yield block[:_TRIED_ROWS]
            block = block[_TRIED_ROWS:]
        if len(block):
            yield block
