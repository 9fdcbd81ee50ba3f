"""Examples that are written otherwise than they were read."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from .. import example_encoder, examples_io
from ..names import (
    ROW_COPY,
    ROW_ID,
    SAMPLING_WEIGHT,
    SYNTHETIC_BASE,
    SYNTHETIC_GAP,
    SYNTHETIC_METHOD,
    SYNTHETIC_NEIGHBOR,
)
from ..tfrecord import Frames
from .reading import Layout
from .rows import COPIED, Origin, Rows


def synthetic_frames(
    rows: Rows, origin: Origin | None, layout: Layout, provenance: bool
) -> Iterator[Frames]:
    """Examples of synthetic rows, with where they come from if `provenance` asks for it."""
    columns: dict[str, np.ndarray | bytes | int] = {**rows.columns, **dict(layout.constants)}
    copied = rows.columns.get(COPIED)
    columns.pop(COPIED, None)
    columns.pop(ROW_ID, None)
    if layout.has_row_id:
        columns[ROW_ID] = rows.ids
    if layout.has_row_copy:
        columns[ROW_COPY] = 0
    labels = np.array([name.encode() for name in layout.classes], object)
    if layout.values is not None:
        labels = np.array(layout.values, np.int64)
    columns[layout.label] = labels[rows.codes]
    if provenance and origin is not None:
        columns[SYNTHETIC_BASE] = origin.base
        columns[SYNTHETIC_NEIGHBOR] = origin.neighbor
        columns[SYNTHETIC_GAP] = origin.gap
        columns[SYNTHETIC_METHOD] = origin.method.encode()
    return example_encoder.encode(columns, len(rows.ids), encoded=copied)


def weighted_frames(frames: Frames, weights: np.ndarray) -> Frames:
    """The records with a sampling weight each, float64 [n]."""
    added = []
    for record, weight in zip(frames.payloads(), weights.tolist(), strict=True):
        example = tf.train.Example.FromString(record)
        value = example.features.feature[SAMPLING_WEIGHT].float_list.value
        value[:] = [weight * (value[0] if value else 1.0)]
        added.append(example.SerializeToString())
    return examples_io.framed(added)
