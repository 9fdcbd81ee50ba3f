"""A row's identity: a 64-bit hash of its canonical content, the same on every machine.

Zobrist hashing (Zobrist 1970): a value's hash is the sum, modulo 2**64, of independent
pseudo-random words, one for each (position, unit); words come from splitmix64 (Steele, Lea and
Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). Sums commute, so the result
does not depend on the order of columns, and everything is vectorised over rows.

Canonical content: integers and booleans as int64, floating point as float32 with one NaN and one
zero (what tf.Example stores), text and bytes as UTF-8; a scalar is a list of length 1; null, an
empty list and an absent column are the same.
"""

import functools
from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_INT, _FLOAT, _BYTES, _LENGTH = (np.uint64(k) << np.uint64(56) for k in (1, 2, 3, 4))


def splitmix64(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that scatters its input; elementwise, any shape."""
    with np.errstate(over="ignore"):
        z = x.astype(np.uint64) + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def keyed(ids: np.ndarray, seed: int, purpose: str) -> np.ndarray:
    """Pseudo-random uint64 for each id, independent between seeds and between purposes.

    Args:
      ids: int64 or uint64 [n], row identities.
      seed: any non-negative integer.
      purpose: what the numbers are for, such as 'split' or 'under'.
    """
    key = text_hash(f"{seed}/{purpose}")
    return splitmix64(splitmix64(ids.view(np.uint64)) ^ key)


def uniform(words: np.ndarray) -> np.ndarray:
    """float64 [n] in [0, 1) from uint64 [n], by the top 53 bits."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


@functools.lru_cache(maxsize=1024)
def text_hash(text: str) -> np.uint64:
    """64-bit hash of one text."""
    return column_hash(pa.array([text]))[0]


def row_ids(batch: pa.RecordBatch | pa.Table, exclude: Collection[str] = ()) -> np.ndarray:
    """Identity of each row.

    Args:
      batch: n rows; columns are scalars or lists of integers, booleans, floats, text or bytes.
      exclude: columns that are not part of the identity: the label at least.

    Returns:
      int64 [n].

    Raises:
      TypeError: a column of another type.
    """
    total = np.zeros(batch.num_rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for name in batch.schema.names:
            if name in exclude:
                continue
            value = column_hash(batch.column(name))
            total += np.where(value == 0, value, splitmix64(value ^ text_hash(name)))
    return splitmix64(total).view(np.int64)


def column_hash(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64 [n], 0 where the value is null or an empty list."""
    if isinstance(column, pa.ChunkedArray):
        parts = [column_hash(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.uint64)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        words = _scalar_words(column)
        present = np.asarray(pc.is_valid(column))
        return np.where(present, _fold(words, np.arange(len(words) + 1)), np.uint64(0))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    words = _scalar_words(column.flatten())
    return np.where(lengths > 0, _fold(words, offsets), np.uint64(0))


def _fold(words: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Hash of each run words[offsets[i]:offsets[i+1]], order within the run included; never 0."""
    lengths = np.diff(offsets)
    with np.errstate(over="ignore"):
        position = np.arange(len(words)) - np.repeat(offsets[:-1], lengths)
        scattered = splitmix64(words ^ splitmix64(position))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(scattered, dtype=np.uint64)])
        total = sums[offsets[1:]] - sums[offsets[:-1]]
        value = splitmix64(total + (lengths.view(np.uint64) | _LENGTH))
    return np.where(value == 0, np.uint64(1), value)


def _scalar_words(values: pa.Array) -> np.ndarray:
    """uint64 [n] for a flat array; a null's word is arbitrary."""
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        filled = pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        return splitmix64(filled.view(np.uint64)) ^ _INT
    if pa.types.is_floating(kind):
        as64 = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            as32 = as64.astype(np.float32) + np.float32(0)  # -0.0 + 0.0 is 0.0
        as32 = np.where(np.isnan(as32), np.float32(np.nan), as32)
        return splitmix64(as32.view(np.uint32).astype(np.uint64)) ^ _FLOAT
    if _is_text(kind):
        return _text_words(values)
    raise TypeError(f"cannot hash a column of type {kind}")


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _text_words(values: pa.Array) -> np.ndarray:
    encoded = values.cast(pa.large_binary()).dictionary_encode()
    unique = encoded.dictionary
    if len(unique) == 0:
        return np.zeros(len(values), np.uint64)
    _, offset_buffer, data = unique.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[unique.offset :][: len(unique) + 1]
    flat = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    flat = flat[offsets[0] : offsets[-1]].astype(np.uint64)
    words = _fold(flat, offsets - offsets[0]) ^ _BYTES
    index = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return words[index]
