"""Moves reports between TFX artifacts and typed objects, for executors only."""

import os
from typing import TypeVar

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils

from .report import REPORT_FILE, Report

R = TypeVar("R", bound=Report)
ArtifactDict = dict[str, list[types.Artifact]]


def write_report(artifacts: ArtifactDict, key: str, report: Report) -> None:
    """Writes `report` as the single artifact under `key`."""
    uri = artifact_utils.get_single_uri(artifacts[key])
    io_utils.write_string_file(
        os.path.join(uri, REPORT_FILE), report.model_dump_json(indent=2) + "\n"
    )


def read_report(artifacts: ArtifactDict, key: str, cls: type[R]) -> R:
    """Reads the single report under `key`.

    Raises:
      KeyError: there is none.
    """
    uri = artifact_utils.get_single_uri(artifacts[key])
    with fileio.open(os.path.join(uri, REPORT_FILE)) as file:
        return cls.model_validate_json(file.read())


def read_report_if_any(artifacts: ArtifactDict, key: str, cls: type[R]) -> R | None:
    """Reads the report under the optional input `key`; None where nothing is connected."""
    return read_report(artifacts, key, cls) if artifacts.get(key) else None


def split_files(artifacts: ArtifactDict, key: str, split: str) -> list[str]:
    """The TFRecord files of one split of the Examples under `key`, sorted; maybe none."""
    files: list[str] = []
    for artifact in artifacts[key]:
        if split in artifact_utils.decode_split_names(artifact.split_names):
            uri = artifact_utils.get_split_uri([artifact], split)
            files += sorted(fileio.glob(io_utils.all_files_pattern(uri)))
    return files
