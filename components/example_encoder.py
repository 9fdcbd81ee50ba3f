"""Dense columns encoded to framed tf.Examples, thousands of rows at a time.

A row's bytes are laid out as pieces side by side: constants (tags, names, lengths), float32 as
they lie in memory, and varints padded to a common width. A mask then drops the padding. The result
is what protobuf writes for tensorflow/core/example/example.proto: packed lists, minimal varints.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from . import tfrecord

# Tags of length-delimited fields, which all but the numbers themselves are.
_FIRST, _SECOND = b"\x0a", b"\x12"
_BYTES, _FLOATS, _INTS = b"\x0a", b"\x12", b"\x1a"
_STEPS = np.uint64(1) << np.arange(7, 64, 7, dtype=np.uint64)  # least values of 2, 3, ... 10 bytes
_SHIFTS = np.arange(0, 64, 7, dtype=np.uint64)


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Consecutive bytes of each row: `data` (uint8 [n or 1, k]) where `keep` (bool [n or 1, k];
    None: everywhere), which are `size` bytes (int, or int64 [n])."""

    data: np.ndarray
    keep: np.ndarray | None
    size: int | np.ndarray


def encode(
    columns: Mapping[str, np.ndarray | bytes | int],
    rows: int,
    chunk_rows: int = 4096,
    encoded: np.ndarray | None = None,
) -> Iterator[tfrecord.Frames]:
    """Encodes n = `rows` rows as framed tf.Examples, their features sorted by name.

    Args:
      columns: feature name -> float32 [n] or [n, width]; int64 [n] or [n, width]; bytes or int, the
        value of all rows; or object [n] of bytes with few distinct values.
      rows: n.
      chunk_rows: rows a block of the result; so few that they fit a core's cache are fastest.
      encoded: object [n] of bytes with few distinct values: more features of each row, as a
        serialized tf.train.Features.

    Raises:
      TypeError: a column is of another type.
      ValueError: a column has another number of rows.
    """
    features = [_feature(name, columns[name], rows) for name in sorted(columns)]
    if encoded is not None:
        features.append(_dictionary("encoded", encoded, lambda value: _constant(value).data))
    for start in range(0, rows, chunk_rows):
        part = slice(start, min(start + chunk_rows, rows))
        pieces = [piece for feature in features for piece in feature(part)]
        yield _lay_out(_message(_FIRST, pieces), part.stop - start)


def _feature(
    name: str, column: np.ndarray | bytes | int, rows: int
) -> Callable[[slice], Sequence[_Piece]]:
    """What encodes a slice of the rows as an entry of the map that Features is."""
    key = _message(_FIRST, [_constant(name.encode())])

    def entry(kind: bytes, values: Sequence[_Piece]) -> list[_Piece]:
        return _message(_FIRST, [*key, *_message(_SECOND, _message(kind, values))])

    def of_bytes(value: bytes) -> _Piece:
        return _joined(entry(_BYTES, _message(_FIRST, [_constant(value)])))

    def of_ints(values: np.ndarray) -> list[_Piece]:
        return entry(_INTS, _message(_FIRST, [_varints(values)]))

    if isinstance(column, bytes):
        same = [of_bytes(column)]
        return lambda part: same
    if isinstance(column, int):
        number = [_joined(of_ints(np.array([[column]])))]
        return lambda part: number
    if len(column) != rows:
        raise ValueError(f"column {name!r} has {len(column)} rows instead of {rows}")
    if column.dtype == object:
        return _dictionary(name, column, lambda value: of_bytes(value).data)
    if column.dtype not in (np.float32, np.int64) or column.ndim > 2:
        found = f"{column.dtype} {list(column.shape)}"
        raise TypeError(f"column {name!r} is {found} instead of float32, int64 or bytes [n, width]")
    kind = _FLOATS if column.dtype == np.float32 else _INTS
    matrix = column[:, None] if column.ndim == 1 else column
    if not matrix.shape[1]:  # protobuf leaves an empty list out
        empty = entry(kind, [])
        return lambda part: empty
    if kind == _INTS:
        return lambda part: of_ints(matrix[part])
    zeros = _constant(bytes(4 * matrix.shape[1]))
    before = _joined(entry(_FLOATS, _message(_FIRST, [zeros]))[:-1])
    return lambda part: [before, _floats(matrix[part])]


def _dictionary(
    name: str, column: np.ndarray, entry: Callable[[bytes], np.ndarray]
) -> Callable[[slice], Sequence[_Piece]]:
    """What encodes a slice of object [n] of bytes, each distinct value by `entry`, uint8 [1, k]."""
    distinct = pa.array(column, pa.binary()).dictionary_encode()
    if distinct.null_count:
        raise TypeError(f"column {name!r} holds None instead of bytes")
    entries = [entry(value) for value in distinct.dictionary.to_pylist()]
    codes = distinct.indices.to_numpy()
    return lambda part: [_looked_up(entries, codes[part])]


def _lay_out(payload: Sequence[_Piece], rows: int) -> tfrecord.Frames:
    """The frames of n rows whose payloads are these pieces, side by side."""
    lengths = np.atleast_1d(_total(payload))
    head = _Piece(tfrecord.headers(lengths), None, tfrecord.HEADER)
    pieces = [head, *payload, _constant(bytes(tfrecord.FOOTER))]
    table = np.empty((rows, sum(piece.data.shape[1] for piece in pieces)), np.uint8)
    table[:] = np.concatenate([piece.data[0] for piece in pieces])
    keep = np.ones(table.shape, bool)
    start = 0
    for piece in pieces:
        width = piece.data.shape[1]
        if len(piece.data) > 1:
            _fill(table, start, piece.data)
        if piece.keep is not None:
            _fill(keep, start, piece.keep)
        start += width
    masked = any(piece.keep is not None for piece in pieces)
    flat = table[keep] if masked else table.ravel()
    framed = np.broadcast_to(lengths + (tfrecord.HEADER + tfrecord.FOOTER), rows)
    return tfrecord.sealed(flat, tfrecord.offsets_of(framed))


def _fill(table: np.ndarray, start: int, part: np.ndarray) -> None:
    """Copies [n, k] into columns of [n, width], k bytes at once: several times faster."""
    rows, width = table.shape
    item = np.dtype((np.void, part.shape[1]))
    np.ndarray(rows, item, table, start, (width,))[:] = part.view(item)[:, 0]


def _message(tag: bytes, pieces: Sequence[_Piece]) -> list[_Piece]:
    """The pieces as a length-delimited field."""
    size = _total(pieces)
    if isinstance(size, int):
        return [_constant(tag + _varint(size)), *pieces]
    return [_constant(tag), _varints(size[:, None]), *pieces]


def _constant(value: bytes) -> _Piece:
    return _Piece(np.frombuffer(value, np.uint8)[None], None, len(value))


def _joined(constants: Sequence[_Piece]) -> _Piece:
    return _constant(b"".join(piece.data.tobytes() for piece in constants))


def _floats(values: np.ndarray) -> _Piece:
    """float32 [n, width]."""
    data = np.ascontiguousarray(values, "<f4").view(np.uint8)
    return _Piece(data, None, data.shape[1])


@functools.lru_cache(maxsize=1024)
def _varint(value: int) -> bytes:
    return _varints(np.array([[value]])).data.tobytes()


def _varints(values: np.ndarray) -> _Piece:
    """int64 [n, width], each as the varint of its two's complement."""
    rows = len(values)
    unsigned = values.astype(np.uint64)
    sizes = 1 + np.searchsorted(_STEPS, unsigned, side="right")
    longest = int(sizes.max(initial=1))
    data = (unsigned[..., None] >> _SHIFTS[:longest]).astype(np.uint8) & 0x7F
    keep = np.arange(longest) < sizes[..., None]
    data[..., :-1] |= keep[..., 1:].view(np.uint8) << 7  # another byte follows
    return _kept(data.reshape(rows, -1), keep.reshape(rows, -1), sizes.sum(axis=1))


def _looked_up(entries: Sequence[np.ndarray], codes: np.ndarray) -> _Piece:
    """Of each row the entry (uint8 [1, k]) that its code (int [n]) stands for."""
    sizes = np.array([entry.size for entry in entries])
    keep = np.arange(sizes.max()) < sizes[:, None]
    table = np.zeros(keep.shape, np.uint8)
    table[keep] = np.concatenate(entries, axis=1)[0]
    return _kept(table[codes], keep[codes], sizes[codes])


def _kept(data: np.ndarray, keep: np.ndarray, sizes: np.ndarray) -> _Piece:
    if keep.all():
        return _Piece(data, None, data.shape[1])
    return _Piece(data, keep, sizes)


def _total(pieces: Sequence[_Piece]) -> int | np.ndarray:
    varying = [piece.size for piece in pieces if not isinstance(piece.size, int)]
    constant = sum(piece.size for piece in pieces if isinstance(piece.size, int))
    return np.sum(varying, axis=0) + constant if varying else constant
