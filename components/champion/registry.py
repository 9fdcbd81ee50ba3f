"""The registry folder: one sub-folder a pushed SavedModel, named by a number, as Pusher writes."""

import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import tensorflow as tf
from pydantic import ValidationError
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.io import fileio

from .. import scoring, storage
from ..calibrator.report import Calibration
from ..errors import UserError
from ..names import EXTRA_DIR
from .report import ChampionInfo

SAVED_MODEL = "saved_model.pb"
"""Pusher copies it last, so a folder that has it is complete."""


STATISTICS = "FeatureStats.pb"
"""In EXTRA_DIR: statistics of what the model was trained on."""

_HELD = {
    schema_pb2.INT: "whole numbers",
    schema_pb2.FLOAT: "decimal numbers",
    schema_pb2.BYTES: "text",
}
_TYPES = {
    statistics_pb2.FeatureNameStatistics.INT: schema_pb2.INT,
    statistics_pb2.FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
    statistics_pb2.FeatureNameStatistics.STRING: schema_pb2.BYTES,
    statistics_pb2.FeatureNameStatistics.BYTES: schema_pb2.BYTES,
}


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
    registry_dir: str,
    version: str,
    classes: list[str],
    records: Sequence[bytes] = (),
    schema: schema_pb2.Schema | None = None,
    others: Iterable[Sequence[bytes] | np.ndarray] = (),
) -> ChampionInfo:
    """What the pushed folder says of itself, and whether today's model can be compared with it.

    Args:
      registry_dir: the registry folder.
      version: name of a folder in it; '' for none.
      classes: today's class order, with which the champion's must agree.
      records: some of today's raw serialized tf.Examples, which it must be able to score.
      schema: of today's columns, which must be those that it was trained on; more are no harm.
      others: blocks of more records, which a model has to score that needs a value in every row.

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
    if schema is not None and (fault := _other_columns(folder, schema, records)):
        return _info(version, f"{name}, {fault}: not comparable", calibration)
    if records and (fault := _cannot_score(folder, records, others)):
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


def _other_columns(folder: str, schema: schema_pb2.Schema, records: Sequence[bytes]) -> str | None:
    """Which column of the champion's training is gone or of another type; None: none is."""
    path = os.path.join(folder, EXTRA_DIR, STATISTICS)
    if not fileio.exists(path):
        return None
    with fileio.open(path, "rb") as file:
        statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read())
    now = {feature.name: feature.type for feature in schema.feature}
    for found in statistics.datasets[0].features if statistics.datasets else ():
        name, then = found.path.step[0] if found.path.step else found.name, _TYPES.get(found.type)
        if then is None or not _common(found).num_non_missing:
            continue
        if name not in now:
            return f"was trained on column {name!r} ({_HELD[then]}), which the data do not have"
        # A number is read as either kind of number.
        if now[name] in _HELD and (now[name] == schema_pb2.BYTES) != (then == schema_pb2.BYTES):
            example = _example(name, records)
            return (
                f"was trained on column {name!r} as {_HELD[then]}, which now holds "
                f"{_HELD[now[name]]}" + (f" such as {example}" if example else "")
            )
    return None


def _common(
    found: statistics_pb2.FeatureNameStatistics,
) -> statistics_pb2.CommonStatistics:
    return getattr(found, found.WhichOneof("stats") or "num_stats").common_stats


def _example(name: str, records: Sequence[bytes]) -> str:
    """A value of the column in one of the records, as Python writes it; '' where none has one."""
    for record in records:
        feature = tf.train.Example.FromString(record).features.feature
        kind = feature[name].WhichOneof("kind") if name in feature else None
        if kind and (values := getattr(feature[name], kind).value):
            value = values[0]
            return repr(value.decode(errors="replace") if isinstance(value, bytes) else value)
    return ""


def _cannot_score(
    folder: str, records: Sequence[bytes], others: Iterable[Sequence[bytes] | np.ndarray]
) -> str | None:
    """Why the model cannot score the records, such as a column that is gone; None where it can."""
    try:
        with storage.for_tensorflow(folder) as directory:
            model = scoring.load(directory)
            scoring.serve(model, tf.constant(records))
            if _needs_values(model):
                for block in others:
                    scoring.serve(model, tf.constant(block))
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow's parser: 'Name: <unknown>, Feature: age (data type: float) is required ...',
        # or '..., Key: age, Index: 0.  Data types don't match. Expected type: float, ...'.
        found = re.search(r"Feature: .*[^.\s]|Key: .*Actual type: \w+", error.message)
        return found.group() if found else "its columns differ"
    return None


def _needs_values(model: Any) -> bool:
    """Whether it refuses a row without any feature, as one trained with a strict schema does."""
    try:
        scoring.serve(model, tf.constant([b""]))
    except tf.errors.InvalidArgumentError:
        return True
    return False
