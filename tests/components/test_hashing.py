"""Row identities against a slow reference in Python's integers, and their invariances."""

import math
import re
import struct
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components import hashing

MASK = (1 << 64) - 1
INT, FLOAT, BYTES, LENGTH = (k << 56 for k in (1, 2, 3, 4))
quick = settings(deadline=None, max_examples=80)


def mix(x: int) -> int:
    """splitmix64's step, from the paper."""
    z = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def fold(words: list[int]) -> int:
    total = sum(mix(word ^ mix(i)) for i, word in enumerate(words))
    return mix((total + (len(words) | LENGTH)) & MASK) or 1


def word(value) -> int:
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        number = number_of(data)
        return fold(list(data)) ^ BYTES if number is None else word(number)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    if isinstance(value, (bool, int)):
        return mix(int(value) & MASK) ^ INT
    bits = struct.unpack("<Q", struct.pack("<d", math.nan if value != value else value))[0]
    return mix(bits) ^ FLOAT


def number_of(text: bytes) -> int | float | None:
    """The number that is written exactly so."""
    if not re.fullmatch(rb"-?[0-9][0-9.e+-]*", text):
        return None
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number).encode() == text and not text.endswith(b".0"):
            return number if kind is float or -(2**63) <= number < 2**63 else None
    return None


def reference(row: dict) -> int:
    """int64 identity of one row: name -> value, list of values or None."""
    total = 0
    for name, value in row.items():
        values = [] if value is None else value if isinstance(value, list) else [value]
        if values:
            total += mix(fold([word(v) for v in values]) ^ fold([word(name)]))
    identity = mix(total & MASK)
    return identity - (1 << 64) if identity >> 63 else identity


ints = st.integers(-(2**63), 2**63 - 1)
floats = st.one_of(st.floats(width=32), st.integers(-(2**70), 2**70).map(np.float32).map(float))
doubles = st.one_of(st.floats(), st.integers(-(2**70), 2**70).map(float))
numerals = st.one_of(
    st.from_regex(r"-?[0-9]{1,21}(\.[0-9]{1,3})?", fullmatch=True), doubles.map(repr)
)
texts = st.one_of(st.text(max_size=6), numerals)
scalars = {
    "int": (st.one_of(st.none(), ints), pa.int64()),
    "float": (st.one_of(st.none(), floats), pa.float32()),
    "double": (st.one_of(st.none(), doubles), pa.float64()),
    "text": (st.one_of(st.none(), texts), pa.string()),
    "bytes": (st.one_of(st.none(), st.binary(max_size=6)), pa.large_binary()),
    "bool": (st.one_of(st.none(), st.booleans()), pa.bool_()),
    "ints": (st.one_of(st.none(), st.lists(ints, max_size=3)), pa.large_list(pa.int64())),
    "texts": (st.one_of(st.none(), st.lists(texts, max_size=3)), pa.list_(pa.string())),
}
rows = st.lists(st.fixed_dictionaries({k: v for k, (v, _) in scalars.items()}), max_size=8)


def batch_of(rows, names=tuple(scalars)):
    arrays = [pa.array([row[name] for row in rows], scalars[name][1]) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


@quick
@given(rows)
def test_identities_are_those_of_the_reference(rows):
    np.testing.assert_array_equal(hashing.row_ids(batch_of(rows)), [reference(r) for r in rows])


@quick
@given(rows, st.permutations(list(scalars)))
def test_the_order_of_columns_does_not_matter(rows, names):
    np.testing.assert_array_equal(
        hashing.row_ids(batch_of(rows, names)), hashing.row_ids(batch_of(rows))
    )


@quick
@given(rows, st.integers(0, 8))
def test_neither_slicing_nor_chunking_matters(rows, at):
    batch = batch_of(rows)
    whole = hashing.row_ids(batch)
    np.testing.assert_array_equal(hashing.row_ids(batch.slice(at)), whole[at:])
    chunked = pa.Table.from_batches([batch.slice(0, at), batch.slice(at)])
    np.testing.assert_array_equal(hashing.row_ids(chunked), whole)


@quick
@given(rows)
def test_absent_null_and_empty_are_one(rows):
    batch = batch_of(rows)
    n = batch.num_rows
    plain = hashing.row_ids(batch)
    for empty in (pa.nulls(n), pa.nulls(n, pa.int64()), pa.array([[]] * n, pa.list_(pa.string()))):
        padded = pa.RecordBatch.from_arrays([*batch.columns, empty], [*batch.schema.names, "more"])
        np.testing.assert_array_equal(hashing.row_ids(padded), plain)
        np.testing.assert_array_equal(hashing.row_ids(padded, exclude={"more"}), plain)


@pytest.mark.parametrize(
    "variants",
    [
        [pa.array([5, 7], t) for t in (pa.int8(), pa.uint16(), pa.int64())],
        [pa.array([1.5, 7.25], pa.float64()), pa.array([1.5, 7.25], pa.float32())],
        [pa.array([5, -7, None]), pa.array([5.0, -7.0, None]), pa.array(["5", "-7", None])],
        [pa.array([0.1, 1e-7, 2e300]), pa.array(["0.1", "1e-07", "2e+300"])],
        [pa.array([2**63 + 1], pa.uint64()), pa.array([str(2**63 + 1)])],
        [pa.array([0.0]), pa.array([-0.0]), pa.array([0.0], pa.float32())],
        [pa.array([float("nan")]), pa.array(np.array([0x7FC00001], np.uint32).view(np.float32))],
        [pa.array(["a", "ß"], t) for t in (pa.string(), pa.large_string(), pa.binary())],
        [pa.array(["a", "b", "a"]), pa.array(["a", "b", "a"]).dictionary_encode()],
        [pa.array([True, False]), pa.array([1, 0])],
        [
            pa.array([3, None]),
            pa.array([[3], None]),
            pa.array([[3], []], pa.large_list(pa.int32())),
        ],
        [pa.array([["a"], None]), pa.array([b"a", None])],
    ],
)
def test_one_content_has_one_hash_however_it_is_stored(variants):
    first, *others = [hashing.column_hash(array) for array in variants]
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_different_content_has_different_hashes():
    arrays = [
        pa.array([0, 1, -1, 256]),
        pa.array([0.1, 0.1 + 2**-56, 2.0**63, 0.5, np.float32(0.1)], pa.float64()),
        pa.array(["00", "01", "1.0", " 1", "+1", "-0", "1.", "1e0", "1\n"]),
        pa.array(["12345678901234567890", "12345678901234567891"]),
        pa.array(["", "\0", "ab", "ba"]),
        pa.array([["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["", "a", "b"], ["", "ab"]]),
        pa.array([[1, 2], [2, 1], [0, 0], [0, 0, 0]]),
    ]
    # The lists ["ab"] and the text "ab" are one content.
    hashes = np.concatenate([hashing.column_hash(array) for array in arrays])
    assert len(set(hashes.tolist())) == len(hashes) - 1


def test_a_value_counts_in_its_own_column_only():
    a = hashing.row_ids(pa.RecordBatch.from_pydict({"p": [1], "q": [2]}))
    b = hashing.row_ids(pa.RecordBatch.from_pydict({"p": [2], "q": [1]}))
    c = hashing.row_ids(pa.RecordBatch.from_pydict({"p": [1, 1], "q": [1, None]}))
    assert len({*a.tolist(), *b.tolist(), *c.tolist()}) == 4


def test_a_type_that_no_example_can_hold_is_refused():
    with pytest.raises(TypeError, match="timestamp"):
        hashing.row_ids(pa.RecordBatch.from_pydict({"t": pa.array([1], pa.timestamp("s"))}))


def test_identities_do_not_move_between_versions():
    batch = pa.RecordBatch.from_pydict({"age": [41, None], "job": ["clerk", "ä"], "x": [0.5, 1.0]})
    expected = [
        reference({"age": a, "job": j, "x": x})
        for a, j, x in [(41, "clerk", 0.5), (None, "ä", 1.0)]
    ]
    assert (
        hashing.row_ids(batch).tolist() == expected == [-8208922977808098071, -2918327159554917043]
    )


def test_a_copy_has_its_own_identity_and_the_first_keeps_that_of_the_content():
    ids = np.repeat(hashing.splitmix64(np.arange(1000)).view(np.int64), 5)
    copies = np.tile(np.arange(5), 1000)
    found = hashing.copy_ids(ids, copies)
    assert len(np.unique(found)) == 5000
    np.testing.assert_array_equal(found[copies == 0], ids[copies == 0])


def test_keyed_numbers_are_uniform_and_independent_between_seeds_and_purposes():
    ids = np.arange(20_000, dtype=np.int64)
    keys = [(0, "split"), (1, "split"), (0, "under")]
    draws = [hashing.uniform(hashing.keyed(ids, seed, purpose)) for seed, purpose in keys]
    for draw in draws:
        assert draw.min() >= 0 and draw.max() < 1
        cells = np.bincount((draw * 50).astype(int), minlength=50)
        # chi-square with 49 degrees of freedom: mean 49, standard deviation 9.9
        assert 10 < ((cells - 400) ** 2 / 400).sum() < 110
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.03
    np.testing.assert_array_equal(
        hashing.keyed(ids.view(np.uint64), 0, "split"), hashing.keyed(ids, 0, "split")
    )


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=12), st.integers(1, 9))
def test_texts_hashed_piece_by_piece_are_those_hashed_at_once(texts, piece):
    whole = hashing.column_hash(pa.array(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_PIECE", piece)
        assert hashing.column_hash(pa.array(texts)).tolist() == whole.tolist()


def test_a_text_of_many_megabytes_is_hashed_in_little_memory():
    tracemalloc.start()
    hashing.column_hash(pa.array(["x" * (32 << 20), "y"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 << 20


def test_the_names_of_all_columns_are_hashed_at_once(monkeypatch):
    """One by one, block by block, those of a wide table took most of the time."""
    calls = []
    text_words = hashing._text_words
    monkeypatch.setattr(hashing, "_text_words", lambda v: calls.append(len(v)) or text_words(v))
    names = [f"x{i}" for i in range(3_000)]
    hashing.row_ids(pa.RecordBatch.from_arrays([pa.array([1, 2])] * len(names), names=names))
    assert calls == [3_000]
