"""TFRecord files as blocks of framed bytes: rows are kept, dropped and repeated undecoded.

A frame is a record as the file holds it: its length (uint64), masked crc32c of the length
(uint32), payload, masked crc32c of the payload (uint32), all little-endian
(tensorflow/core/lib/io/record_writer.h). Rows that travel framed need no new checksum.
"""

import contextlib
import dataclasses
import gzip
import io
import itertools
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, cast

import google_crc32c
import numpy as np
import pyarrow as pa
import tensorflow as tf
from isal import igzip, igzip_lib, igzip_threaded
from tfx.dsl.io import fileio

from .errors import UserError

GZIP_LEVEL = 1  # of ISA-L: packs about as zlib's level 1, at several times the speed
HEADER = 12  # bytes before a payload
FOOTER = 4  # bytes after it
_BLOCK = 1 << 20  # bytes that a thread compresses at a time
_LENGTH = struct.Struct("<Q")
_ISAL_ERROR = cast(type[Exception], igzip_lib.IsalError)  # its stub says an instance
_BROKEN = (EOFError, gzip.BadGzipFile, _ISAL_ERROR)


@dataclasses.dataclass(frozen=True)
class Frames:
    """n framed records that lie one after another in a buffer.

    Attributes:
      buffer: the framed bytes of all records, and nothing else.
      offsets: int64 [n + 1], where each frame starts; the last is the end.
    """

    buffer: bytes
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def payloads(self) -> list[bytes]:
        """The n records without their framing."""
        edges = np.stack([self.offsets[:-1] + HEADER, self.offsets[1:] - FOOTER], axis=1)
        return _cut(self.buffer, np.concatenate([[0], edges.ravel()]))[1::2]

    def repeated(self, copies: np.ndarray) -> "Frames":
        """Record i `copies[i]` times (int [n], >= 0), a record's copies adjacent.

        Costs a copy of a slice per run of rows taken once and per row taken several times.
        """
        opens = np.concatenate([[True], (copies[1:] != copies[:-1]) | (copies[1:] > 1)])
        first = np.flatnonzero(opens[: len(copies)])
        ends = self.offsets[np.append(first[1:], len(copies))]
        times, starts = copies[first], self.offsets[first]
        taken = times > 0
        runs = (starts[taken].tolist(), ends[taken].tolist(), times[taken].tolist())
        buffer, view = self.buffer, memoryview(self.buffer)
        joined = b"".join(
            [view[i:j] if k == 1 else buffer[i:j] * k for i, j, k in zip(*runs, strict=True)]
        )
        return Frames(joined, offsets_of(np.repeat(np.diff(self.offsets), copies)))

    def select(self, rows: np.ndarray) -> "Frames":
        """The records of a mask (bool [n]) or of row indices (int [m]), in that order."""
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        lengths = np.diff(self.offsets)[rows]
        first = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        last = np.append(first[1:], len(rows))[: len(first)] - 1
        starts, ends = self.offsets[rows[first]].tolist(), self.offsets[rows[last] + 1].tolist()
        view = memoryview(self.buffer)
        buffer = b"".join([view[i:j] for i, j in zip(starts, ends, strict=True)])
        return Frames(buffer, offsets_of(lengths))


def frame(payload: bytes | np.ndarray, offsets: np.ndarray) -> Frames:
    """Frames records that lie one after another.

    Args:
      payload: the bytes of all records (or uint8).
      offsets: int64 [n + 1], where each record starts in them; the last is the end.
    """
    lengths = np.diff(offsets)
    records = _cut(payload, offsets)
    heads, foots = _rows(headers(lengths)), _rows(_checksums(records))
    parts = zip(heads, records, foots, strict=True)
    framed = b"".join(itertools.chain.from_iterable(parts))
    return Frames(framed, offsets_of(lengths + (HEADER + FOOTER)))


def sealed(buffer: np.ndarray, offsets: np.ndarray) -> Frames:
    """Frames that lack only the checksums of their payloads.

    Args:
      buffer: uint8, the frames; written to.
      offsets: int64 [n + 1], where each starts; the last is the end.
    """
    records = Frames(buffer.tobytes(), offsets).payloads()
    buffer[_footers(offsets)] = _checksums(records)
    return Frames(buffer.tobytes(), offsets)


def headers(lengths: np.ndarray) -> np.ndarray:
    """What stands before payloads of these lengths (int64 [n]): uint8 [n, HEADER]."""
    distinct, which = np.unique(lengths, return_inverse=True)
    packed = [_LENGTH.pack(length) for length in distinct.tolist()]
    crcs = _masked(np.array([google_crc32c.value(length) for length in packed], np.uint32))
    heads = b"".join(part for pair in zip(packed, crcs, strict=True) for part in pair)
    return np.frombuffer(heads, np.uint8).reshape(-1, HEADER)[which]


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Where each of n parts starts (int64 [n + 1]; the last is the end) from their lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def read_frames(
    path: str,
    block_bytes: int = 4 << 20,
    verify: bool = False,
    max_record_bytes: int | None = None,
) -> Iterator[Frames]:
    """Reads a TFRecord file (gzipped where the name ends in .gz), about `block_bytes` at a time.

    A thread reads and inflates the next block meanwhile. In an uncompressed file, or if `verify`
    asks for it, every checksum is verified; in a .gz, where gzip's own covers all bytes, that of a
    length or two a block. A record longer than `max_record_bytes` is refused by its length, unread.

    Raises:
      UserError: the file is truncated, corrupt, or no TFRecord file, or a record is too long; then
        the error has no cause.
    """
    rows = 0
    pieces: list[bytes] = []  # of what is not yet a whole frame
    held, needed = 0, HEADER
    try:
        for block in _ahead(_blocks(path, block_bytes)):
            pieces.append(block)
            held += len(block)
            if held < needed:
                continue
            buffer = b"".join(pieces)
            _frame_end(buffer, 0)
            offsets = _walk(buffer)
            end = int(offsets[-1])
            needed = max(_frame_end(buffer, end) - end, HEADER)
            pieces, held = [buffer[end:]], len(buffer) - end
            frames = Frames(buffer[:end], offsets)
            if verify or not path.endswith(".gz"):
                _verify(frames)
            if max_record_bytes is not None:
                _check_sizes(path, rows, np.append(np.diff(offsets), needed), max_record_bytes)
            rows += len(frames)
            if len(frames):
                yield frames
        if held:
            raise EOFError("it ends within a record")
    except _BROKEN as error:
        raise UserError(
            f"{path}: truncated, corrupt or no TFRecord file ({error}); "
            "delete it and run again what wrote it"
        ) from error


class Writer:
    """Writes framed bytes as one gzipped TFRecord file, its blocks compressed in parallel.

    The file's bytes depend on the framed bytes and the level alone. What goes wrong in a thread is
    raised by a later `write` or by `close`. As a context manager it removes a file that could not
    be completed. To be used in the thread that made it. Memory: some MiB a compressing thread.

    Args:
      path: of the file, local or remote.
      gzip_level: ISA-L's, 0 (largest) to 3 (smallest).
      threads: that compress; None: one a core.
    """

    def __init__(self, path: str, gzip_level: int = GZIP_LEVEL, threads: int | None = None) -> None:
        self._path = path
        self._file = tf.io.gfile.GFile(path, "wb")
        self._gzip = _compressor(self._file, gzip_level, threads or -1)
        self._block = bytearray()

    def write(self, framed: bytes | memoryview) -> None:
        """Appends whole frames."""
        rest = memoryview(framed)
        while rest:
            free = _BLOCK - len(self._block)
            self._block += rest[:free]
            rest = rest[free:]
            if len(self._block) == _BLOCK:
                self._gzip.write(self._block)
                self._block.clear()

    def close(self) -> None:
        """Waits for all blocks and completes the file."""
        try:
            self._gzip.write(self._block)
            self._gzip.close()
        finally:
            self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(tf.io.gfile.remove, self._path)
            self.close()
            if kind is None:
                undo.pop_all()


def _compressor(file: IO[bytes], level: int, threads: int) -> IO[bytes]:
    # One gzip member; each block is compressed with the 32 KiB before it as its dictionary.
    return igzip_threaded.open(file, "wb", level, threads=threads, block_size=_BLOCK)


def _blocks(path: str, block_bytes: int) -> Iterator[bytes]:
    with fileio.open(path, "rb") as file:
        stream = igzip.IGzipFile(fileobj=_Raw(file)) if path.endswith(".gz") else file
        while block := stream.read(block_bytes):
            yield block


class _Raw(io.RawIOBase):
    """A GFile with the method that python-isal reads by."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks, the next of them made by a thread while the present one is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, blocks, b"")
        while block := following.result():
            following = pool.submit(next, blocks, b"")
            yield block


def _walk(buffer: bytes) -> np.ndarray:
    """Where the whole frames of a buffer start, and the end of the last: int64 [n + 1]."""
    length_at, end = _LENGTH.unpack_from, len(buffer)
    offsets, at = [], 0
    try:
        while at <= end:
            offsets.append(at)
            at += length_at(buffer, at)[0] + (HEADER + FOOTER)
    except struct.error:  # less than a length is left
        pass
    return np.array(offsets, np.int64)


def _check_sizes(path: str, first_row: int, frames: np.ndarray, limit: int) -> None:
    """Raises UserError for a record longer than the limit, by the lengths of frames, int64 [n]."""
    if (long := np.flatnonzero(frames > limit + (HEADER + FOOTER))).size:
        size = int(frames[long[0]]) - (HEADER + FOOTER)
        raise UserError(
            f"{path}, row {first_row + long[0] + 1:,}: a record of {size:,} bytes, more than "
            f"{limit:,}; raise data.max_line_bytes if that is right"
        )


def _frame_end(buffer: bytes, at: int) -> int:
    """Where the frame at an offset ends; `at` where its header is not yet whole."""
    if len(buffer) - at < HEADER:
        return at
    (length,) = _LENGTH.unpack_from(buffer, at)
    if headers(np.array([length], np.uint64)).tobytes() != buffer[at : at + HEADER]:
        raise EOFError("the checksum of a length is wrong")
    return at + HEADER + length + FOOTER


def _verify(frames: Frames) -> None:
    data, starts = np.frombuffer(frames.buffer, np.uint8), frames.offsets[:-1]
    heads = headers(np.diff(frames.offsets) - (HEADER + FOOTER))
    right = np.array_equal(data[starts[:, None] + np.arange(HEADER)], heads)
    if not right or not np.array_equal(
        data[_footers(frames.offsets)], _checksums(frames.payloads())
    ):
        raise EOFError("a checksum is wrong")


def _footers(offsets: np.ndarray) -> np.ndarray:
    """Where the bytes behind the n payloads lie: int64 [n, FOOTER]."""
    return offsets[1:, None] + np.arange(-FOOTER, 0)


def _cut(buffer: bytes | np.ndarray, cuts: np.ndarray) -> list[bytes]:
    """The n parts of a buffer between cuts (int64 [n + 1]); Arrow is far faster than a loop."""
    buffers = [None, pa.py_buffer(cuts), pa.py_buffer(buffer)]
    parts = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(cuts) - 1, buffers)
    return parts.to_numpy(zero_copy_only=False).tolist()


def _rows(table: np.ndarray) -> list[bytes]:
    """The n rows of uint8 [n, k]."""
    return table.view((np.void, table.shape[1])).ravel().tolist()


def _checksums(records: list[bytes]) -> np.ndarray:
    """What stands behind these payloads: uint8 [n, FOOTER]."""
    crcs = np.fromiter(map(google_crc32c.value, records), np.uint32, len(records))
    return _masked(crcs).view(np.uint8).reshape(-1, FOOTER)


def _masked(crcs: np.ndarray) -> np.ndarray:
    """As record_writer.h stores them: uint32 [n]."""
    return ((crcs >> 15 | crcs << 17) + np.uint32(0xA282EAD8)).astype("<u4")
