"""A row's identity: a 64-bit hash of its canonical content, the same on every machine.

Zobrist hashing (Zobrist 1970): a value's hash is the sum, modulo 2**64, of independent
pseudo-random words, one for each (position, unit); words come from splitmix64 (Steele, Lea and
Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). Sums commute, so the result
does not depend on the order of columns, and everything is vectorised over rows.

Canonical content: a number is its value, whatever holds it (1, 1.0, true and the text "1" are the
same; so are 0.5 and the text "0.5"), at the full precision of int64 and float64, with one NaN and
one zero; a text is a number where it is exactly what that number is written as ("01", "1.0" and
" 1" are texts); other text and bytes are UTF-8; a scalar is a list of length 1; null, an empty list
and an absent column are the same. So a column of numbers that gains a decimal, a gap or a word
leaves the identities of the other rows alone; one of dates, truth values or numbers written oddly
("01", "$5", "1.50") that a word turns into text does not.
"""

import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

IDENTITY_VERSION: Final = 2
"""Of what `row_ids` gives: identities of two versions cannot be compared. 1 held float32."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_INT, _FLOAT, _BYTES, _LENGTH = (np.uint64(k) << np.uint64(56) for k in (1, 2, 3, 4))
_COPIES: Final = np.uint64(0xD1B54A32D192ED03)  # so that a copy's word is no small number's
_INT64_END: Final = 2.0**63
_PIECE: Final = 1 << 20  # bytes of text that are hashed at a time
_WHOLE_TEXT: Final = r"^(0|-?[1-9][0-9]*)$"
_DECIMAL_TEXT: Final = r"^-?[0-9]+(\.[0-9]*[1-9]|(\.[0-9]+)?e[+-][0-9]+)$"
_MOST_DIGITS: Final = 20  # of a text that may be an int64, with its sign


def splitmix64(x: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that scatters its input, an array of any shape but a scalar's."""
    z = x.astype(np.uint64) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


_FIRST: Final = splitmix64(np.zeros(1, np.uint64))  # of a run's first position


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


def copy_ids(ids: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Identity of each row among equal ones: what chooses rows tells copies apart by it.

    Args:
      ids: int64 [n], identities of content (`row_ids`).
      copies: int64 [n], which copy of its content a row is, from 0.

    Returns:
      int64 [n]; `ids` for first copies.
    """
    words = splitmix64(ids.view(np.uint64) ^ splitmix64(copies.view(np.uint64) + _COPIES))
    return np.where(copies == 0, ids, words.view(np.int64))


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
    kept = [name for name in batch.schema.names if name not in exclude]
    return joint_ids(kept, (column_hash(batch.column(name)) for name in kept), batch.num_rows)


def joint_ids(names: Sequence[str], hashes: Iterable[np.ndarray], rows: int) -> np.ndarray:
    """int64 [rows]: identities from each column's name and `column_hash`, in any order."""
    total = np.zeros(rows, dtype=np.uint64)
    words = column_hash(pa.array(names, pa.string()))  # at once: one by one is slow for many
    for word, value in zip(words, hashes, strict=True):
        total += np.where(value == 0, value, splitmix64(value ^ word))
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
        # `_fold` of runs of one word each.
        words = _closed(splitmix64(_scalar_words(column) ^ _FIRST), np.uint64(1))
        return np.where(np.asarray(pc.is_valid(column)), words, np.uint64(0))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    words = _scalar_words(column.flatten())
    return np.where(lengths > 0, _fold(words, offsets), np.uint64(0))


def _fold(words: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Hash of each run words[offsets[i]:offsets[i+1]], order within the run included; never 0."""
    lengths = np.diff(offsets)
    position = np.arange(len(words)) - np.repeat(offsets[:-1], lengths)
    scattered = splitmix64(words ^ splitmix64(position))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(scattered, dtype=np.uint64)])
    return _closed(sums[offsets[1:]] - sums[offsets[:-1]], lengths.view(np.uint64))


def _closed(sums: np.ndarray, lengths: np.ndarray | np.uint64) -> np.ndarray:
    """uint64 [n], never 0: hashes of runs from the sums of their scattered words."""
    value = splitmix64(sums + (lengths | _LENGTH))
    return np.where(value == 0, np.uint64(1), value)


def _fold_bytes(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """`_fold` of bytes (uint8), with the 8 bytes a word made for a piece of them at a time."""
    if len(data) <= _PIECE:
        return _fold(data.astype(np.uint64), offsets)
    ends = np.zeros(len(offsets), np.uint64)  # sums over all bytes before each offset
    before = np.uint64(0)
    for start in range(0, len(data), _PIECE):
        end = min(start + _PIECE, len(data))
        first = int(np.searchsorted(offsets, start, "right")) - 1
        last = int(np.searchsorted(offsets, end, "left"))
        inside = np.clip(offsets[first : last + 1], start, end)
        position = np.arange(start, end) - np.repeat(offsets[first:last], np.diff(inside))
        scattered = splitmix64(data[start:end].astype(np.uint64) ^ splitmix64(position))
        sums = np.cumsum(scattered, dtype=np.uint64) + before
        at = slice(
            int(np.searchsorted(offsets, start, "right")),
            int(np.searchsorted(offsets, end, "right")),
        )
        ends[at] = sums[offsets[at] - start - 1]
        before = sums[-1]
    return _closed(ends[1:] - ends[:-1], np.diff(offsets).view(np.uint64))


def _scalar_words(values: pa.Array) -> np.ndarray:
    """uint64 [n] for a flat array; a null's word is arbitrary."""
    kind = values.type
    if pa.types.is_uint64(kind):
        return _text_words(pc.cast(values, pa.string()))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _int_words(pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(kind):
        return _float_words(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if _is_text(kind):
        return _text_words(values)
    raise TypeError(f"cannot hash a column of type {kind}")


def _int_words(values: np.ndarray) -> np.ndarray:
    """uint64 [n] of int64 [n]."""
    return splitmix64(values.view(np.uint64)) ^ _INT


def _float_words(values: np.ndarray) -> np.ndarray:
    """uint64 [n] of float64 [n]: whole numbers as integers, others by their bits."""
    whole = (np.abs(values) < _INT64_END) & (values == np.floor(values))
    words = np.empty(len(values), np.uint64)
    words[whole] = _int_words(values[whole].astype(np.int64))
    others = np.where(np.isnan(values), np.nan, values)[~whole]
    words[~whole] = splitmix64(others.view(np.uint64)) ^ _FLOAT
    return words


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
    words = _fold_bytes(flat[offsets[0] : offsets[-1]], offsets - offsets[0]) ^ _BYTES
    for at, numbers in _numbers_in(unique):
        words[at] = numbers
    index = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
    return words[index]


def _numbers_in(texts: pa.Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(indices int64 [k], words uint64 [k]) of the texts that are written as numbers are."""
    whole = np.asarray(pc.match_substring_regex(texts, _WHOLE_TEXT))
    at = np.flatnonzero(whole & (np.asarray(pc.binary_length(texts)) <= _MOST_DIGITS))
    if len(at):
        # Up to 20 signs: a float64 tells what is surely an int64; Python the few at its end.
        chosen = texts.take(pa.array(at)).cast(pa.large_string())
        near = np.abs(np.asarray(chosen.cast(pa.float64()))) >= 2.0**62
        fits = np.array(
            [-(2**63) <= int(t) < 2**63 for t in chosen.filter(pa.array(near)).to_pylist()], bool
        )
        is_int = ~near
        is_int[near] = fits
        ints = chosen.filter(pa.array(is_int)).cast(pa.int64())
        yield at[is_int], _int_words(np.asarray(ints))
    at = np.flatnonzero(np.asarray(pc.match_substring_regex(texts, _DECIMAL_TEXT)))
    if len(at):
        chosen = texts.take(pa.array(at)).cast(pa.large_string())
        numbers = np.asarray(chosen.cast(pa.float64()))
        # Only what the number is written as: one of several texts of it, and no longer one.
        same = np.array(
            [repr(n) == t for n, t in zip(numbers.tolist(), chosen.to_pylist(), strict=True)], bool
        )
        yield at[same], _float_words(numbers[same])
