"""tf.Example TFRecord files, read and written in blocks of thousands of rows.

Decoding and encoding are tfx_bsl's C++ coders; files are TensorFlow's C++ readers and writers.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders import example_coder

from . import storage, tfrecord

BATCH_ROWS = 8192
_BLOCK_BYTES = 64 << 20


def compression_of(path: str) -> str:
    """'GZIP' for a name that ends in .gz, else ''."""
    return "GZIP" if path.endswith(".gz") else ""


def read_blocks(
    files: Sequence[str], batch_rows: int = BATCH_ROWS, max_record_bytes: int | None = None
) -> Iterator[np.ndarray]:
    """Serialized records of the files in order, as object arrays of bytes [<= batch_rows].

    Fewer rows where they are long: a block has some _BLOCK_BYTES. Raises UserError as
    tfrecord.read_frames does.
    """
    for path in files:
        held: list[bytes] = []
        for frames in tfrecord.read_frames(path, verify=True, max_record_bytes=max_record_bytes):
            held += frames.payloads()
            while len(held) > batch_rows or sum(map(len, held)) > _BLOCK_BYTES:
                yield np.array(held[:batch_rows], object)
                del held[:batch_rows]
        if held:
            yield np.array(held, object)


def decoder(features: dict[str, str] | None = None) -> example_coder.ExamplesToRecordBatchDecoder:
    """A decoder of serialized tf.Examples to Arrow: `.DecodeBatch(list_of_bytes)`.

    Args:
      features: name -> 'int', 'float' or 'bytes' for the only features to decode; None: all.

    Every column of the result is a list; a feature absent from a row is null.
    """
    if features is None:
        return example_coder.ExamplesToRecordBatchDecoder()
    types = {"int": schema_pb2.INT, "float": schema_pb2.FLOAT, "bytes": schema_pb2.BYTES}
    schema = schema_pb2.Schema()
    for name, kind in features.items():
        schema.feature.add(name=name, type=types[kind])
    return example_coder.ExamplesToRecordBatchDecoder(schema.SerializeToString())


def encode(batch: pa.RecordBatch) -> list[bytes]:
    """Serialized tf.Examples of a batch whose columns are lists of int64, float32 or binary."""
    return example_coder.RecordBatchToExamples(batch)


def framed(records: Sequence[bytes]) -> tfrecord.Frames:
    """Serialized examples as a block that WriteExamples takes."""
    lengths = np.fromiter(map(len, records), np.int64, len(records))
    return tfrecord.frame(b"".join(records), tfrecord.offsets_of(lengths))


class WriteExamples(beam.PTransform):
    """Writes blocks of examples as the gzipped TFRecord files of one split.

    Input: PCollections of tfrecord.Frames, one or a tuple of them. The write stays fused to what
    feeds each: no shuffle, one file a bundle. Files appear in `directory` whole, under their final
    names `data_tfrecord-*.gz`, after all were written; a bundle or a step that is retried leaves
    nothing behind. At least one file is written, also for no rows. Returns the number of rows.
    """

    def __init__(self, directory: str, gzip_level: int = tfrecord.GZIP_LEVEL) -> None:
        super().__init__()
        self._directory = directory
        self._staging = f"{directory.rstrip('/')}.writing-{uuid.uuid4().hex}"
        self._gzip_level = gzip_level

    def expand(self, blocks: Any) -> beam.PCollection:  # Beam knows no union of hints here
        inputs = blocks if isinstance(blocks, tuple) else (blocks,)
        parts = tuple(
            part | f"WriteParts{i}" >> beam.ParDo(_WritePart(self._staging, self._gzip_level))
            for i, part in enumerate(inputs)
        )
        return (
            parts
            | "Parts" >> beam.Flatten()
            | "CollectNames" >> beam.combiners.ToList()
            | "Rename" >> beam.Map(_publish, self._staging, self._directory, self._gzip_level)
        )


class _WritePart(beam.DoFn):
    def __init__(self, staging: str, gzip_level: int) -> None:
        self._staging, self._gzip_level = staging, gzip_level
        self._writer: tfrecord.Writer | None = None

    def start_bundle(self) -> None:
        self._writer, self._rows, self._path = None, 0, ""

    def process(self, block: tfrecord.Frames) -> None:
        if not len(block):
            return
        if self._writer is None:
            tf.io.gfile.makedirs(self._staging)
            self._path = os.path.join(self._staging, uuid.uuid4().hex)
            self._writer = tfrecord.Writer(self._path, self._gzip_level)
        self._writer.write(block.buffer)
        self._rows += len(block)

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        if self._writer is not None:
            self._writer.close()
            window = beam.transforms.window.GlobalWindow()
            yield beam.utils.windowed_value.WindowedValue(
                (self._path, self._rows), window.max_timestamp(), [window]
            )


def _publish(parts: list[tuple[str, int]], staging: str, directory: str, gzip_level: int) -> int:
    """To be done again, after it or the whole job failed halfway, leaves the same files.

    A file's name tells which part it is: after a worker was lost, some of the parts may be those
    that are renamed already, and others written anew.
    """
    tf.io.gfile.makedirs(directory)
    moves = {f"data_tfrecord-{os.path.basename(path)}.gz": path for path, _ in parts}
    empty = "data_tfrecord-empty.gz"
    for found in tf.io.gfile.glob(os.path.join(directory, "data_tfrecord-*")):
        if os.path.basename(found) not in moves:
            tf.io.gfile.remove(found)
    if not parts:
        tfrecord.Writer(os.path.join(directory, empty), gzip_level).close()
    for name, path in moves.items():
        storage.move(path, os.path.join(directory, name))
    storage.remove_tree(staging)
    return sum(rows for _, rows in parts)
