"""The registry folder: one sub-folder a pushed SavedModel, named by a number, as Pusher writes."""

import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone

import tensorflow as tf
from pydantic import ValidationError
from tfx.dsl.io import fileio

from .. import scoring, storage
from ..calibrator.report import Calibration
from ..errors import UserError
from ..names import EXTRA_DIR
from .report import ChampionInfo

SAVED_MODEL = "saved_model.pb"
"""Pusher copies it last, so a folder that has it is complete."""


def latest_version(registry_dir: str) -> str | None:
    """Name of the folder with the highest version; None where nothing was pushed.

    Args:
      registry_dir: local or remote path; it need not exist.
    """
    if not fileio.isdir(registry_dir):
        return None
    names = (name.rstrip("/") for name in fileio.listdir(registry_dir))
    versions = sorted((n for n in names if n.isascii() and n.isdigit()), key=int, reverse=True)
    return next((v for v in versions if is_complete(os.path.join(registry_dir, v))), None)


def is_complete(version_dir: str) -> bool:
    """Whether the folder holds a whole SavedModel."""
    return bool(fileio.exists(os.path.join(version_dir, SAVED_MODEL)))


def examine(
    registry_dir: str, version: str, classes: list[str], records: Sequence[bytes] = ()
) -> ChampionInfo:
    """What the pushed folder says of itself, and whether today's model can be compared with it.

    Args:
      registry_dir: the registry folder.
      version: name of a folder in it; '' for none.
      classes: today's class order, with which the champion's must agree.
      records: some of today's raw serialized tf.Examples, which it must be able to score.

    Raises:
      UserError: the version is not in the registry.
    """
    if not version:
        return _info(None, "no model was pushed yet")
    folder = os.path.join(registry_dir, version)
    if not is_complete(folder):
        raise UserError(
            f"{folder}: no SavedModel is here; expected the version that was pushed last, run again"
        )
    name = describe(registry_dir, version)
    report = os.path.join(folder, EXTRA_DIR, "calibration.json")
    if not fileio.exists(report):
        return _info(version, f"{name}, has no {EXTRA_DIR}: not comparable")
    try:
        with fileio.open(report) as file:
            calibration = Calibration.model_validate_json(file.read())
    except ValidationError:
        return _info(version, f"{name}, has a {EXTRA_DIR} of another release: not comparable")
    if calibration.classes != classes:
        why = f"has classes {calibration.classes}, the data {classes}"
        return _info(version, f"{name}, {why}: not comparable", calibration)
    if records and (fault := _cannot_score(folder, records)):
        return _info(
            version, f"{name}, cannot score today's rows ({fault}): not comparable", calibration
        )
    return _info(version, name, calibration, comparable=True)


def describe(registry_dir: str, version: str) -> str:
    """The version in words, such as 'serving/1764028800, pushed 2025-11-25 00:00 UTC'."""
    name = f"{os.path.basename(registry_dir.rstrip('/'))}/{version}"
    try:
        pushed = datetime.fromtimestamp(int(version), timezone.utc)
    except (OverflowError, OSError, ValueError):
        return name
    # Pusher's versions are seconds since 1970; a small number is somebody's own count.
    return f"{name}, pushed {pushed:%Y-%m-%d %H:%M} UTC" if pushed.year >= 2000 else name


def _info(
    version: str | None,
    message: str,
    calibration: Calibration | None = None,
    comparable: bool = False,
) -> ChampionInfo:
    return ChampionInfo(
        version=version,
        message=message,
        model_fingerprint=calibration and calibration.model_fingerprint,
        classes=calibration and calibration.classes,
        comparable=comparable,
    )


def _cannot_score(folder: str, records: Sequence[bytes]) -> str | None:
    """Why the model cannot score the records, such as a column that is gone; None where it can."""
    try:
        with storage.for_tensorflow(folder) as model:
            scoring.serve(scoring.load(model), tf.constant(records))
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow's parser: 'Name: <unknown>, Feature: age (data type: float) is required ...'.
        found = re.search(r"Feature: .*[^.\s]", error.message)
        return found.group() if found else "its columns differ"
    return None
