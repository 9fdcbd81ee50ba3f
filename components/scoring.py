"""Scores raw serialized tf.Examples with a SavedModel, in blocks, and reads their true labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from . import examples_io
from .errors import DataCheckError, UserError
from .metrics import Scores
from .names import DECISION, PROBABILITIES

SERVING = "serving_default"


@dataclass(frozen=True)
class Scored:
    """What a model said of the labelled rows of one split, in the order of the files.

    Attributes:
      labels: int64 [n], true class index.
      weights: float64 [n], sample weights; ones where there is no weight column.
      outputs: output name -> array [n, ...], as the signature gives it.
      left_out: rows without a label, or with one that is not among the classes.
    """

    labels: np.ndarray
    weights: np.ndarray
    outputs: dict[str, np.ndarray]
    left_out: int


def load(model_dir: str) -> Any:
    """Loads a SavedModel whose `serving_default` takes serialized tf.Examples, string [n].

    Raises:
      UserError: it has no such signature.
    """
    model = tf.saved_model.load(model_dir)
    signatures = getattr(model, "signatures", {})
    if SERVING not in signatures:
        raise UserError(
            f"the model in {model_dir} has no signature {SERVING!r}, found {sorted(signatures)}; "
            "save it with one that takes serialized tf.Examples"
        )
    specs = signatures[SERVING].structured_input_signature[1]
    if [spec.dtype for spec in specs.values()] != [tf.string]:
        raise UserError(
            f"the model in {model_dir}: {SERVING} must take one string tensor of serialized "
            f"tf.Examples, but it takes {sorted(specs)}; save it with a signature that parses them"
        )
    return model


def serve(model: Any, examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Calls `serving_default` of a model from `load` on string [n]; output name -> tensor."""
    signature = model.signatures[SERVING]
    (name,) = signature.structured_input_signature[1]
    return signature(**{name: examples})


def score_files(
    model: Any,
    files: Sequence[str],
    label: str,
    classes: Sequence[str],
    weight: str | None = None,
) -> Scored:
    """Scores every labelled row of TFRecord files of raw tf.Examples.

    Args:
      model: from `load`.
      files: paths, see examples_io.read_blocks.
      label: bytes feature with the class's name.
      classes: class names in index order.
      weight: float feature with the sample weight, if there is one.

    Raises:
      DataCheckError: no labelled row, or a weight that is missing, negative or not finite.
    """
    features = {label: "bytes", **({weight: "float"} if weight else {})}
    decoder = examples_io.decoder(features)
    blocks, labels, weights, left_out = [], [], [], 0
    for records in examples_io.read_blocks(files):
        batch = decoder.DecodeBatch(list(records))
        index = class_indices(_first(batch, label, pa.binary()), classes)
        known = index >= 0
        left_out += int((~known).sum())
        if not known.any():
            continue
        labels.append(index[known])
        weights.append(
            _sample_weights(_first(batch, weight, pa.float32()).filter(pa.array(known)), weight)
            if weight
            else np.ones(known.sum())
        )
        blocks.append({k: v.numpy() for k, v in serve(model, tf.constant(records[known])).items()})
    if not blocks:
        raise DataCheckError(f"column {label!r}: no row has a label among {list(classes)}")
    outputs = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return Scored(np.concatenate(labels), np.concatenate(weights), outputs, left_out)


def score_split(
    model_dir: str,
    files: Sequence[str],
    split: str,
    label: str,
    classes: Sequence[str],
    weight: str | None = None,
) -> Scores:
    """Scores one split with a model that Calibrator wrote; see `score_files`."""
    scored = score_files(load(model_dir), files, label, classes, weight)
    return Scores(
        split=split,
        labels=scored.labels,
        probabilities=scored.outputs[PROBABILITIES].astype(np.float64),
        decisions=scored.outputs[DECISION],
        weights=scored.weights,
        classes=tuple(classes),
    )


def class_indices(names: pa.Array, classes: Sequence[str]) -> np.ndarray:
    """int64 [n]: index of each name (binary, UTF-8) in `classes`; -1 for null and for others."""
    known = pa.array([name.encode() for name in classes], pa.binary())
    index = pc.index_in(names.cast(pa.binary()), value_set=known)
    return pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _first(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    """First value of each row's list; null where there is none."""
    column = batch.column(batch.schema.get_field_index(name))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    # A null index takes null.
    return column.flatten().cast(kind).take(pa.array(starts, pa.int64(), mask=lengths == 0))


def _sample_weights(values: pa.Array, name: str) -> np.ndarray:
    weights = values.to_numpy(zero_copy_only=False).astype(np.float64)
    if bad := int((~(np.isfinite(weights) & (weights >= 0))).sum()):
        raise DataCheckError(
            f"column {name!r}: {bad} sample weights are missing, negative or not finite"
        )
    return weights
