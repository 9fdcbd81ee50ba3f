import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfx_imbalance.components import example_encoder, examples_io, tfrecord

INT64 = st.integers(-(2**63), 2**63 - 1)
EDGES = [0, 1, -1, 127, 128, 16383, 16384, 2**62, 2**63 - 1, -(2**63), 2**56, 2**56 - 1]


def encode(columns, rows, chunk_rows=3):
    return list(example_encoder.encode(columns, rows, chunk_rows))


def payloads(columns, rows, chunk_rows=3):
    return [p for frames in encode(columns, rows, chunk_rows) for p in frames.payloads()]


def expected(columns, row):
    """The row as protobuf itself encodes it."""
    example = tf.train.Example()
    for name, column in columns.items():
        feature = example.features.feature[name]
        value = column if isinstance(column, bytes | int) else column[row]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(column, int):
            feature.int64_list.value.append(column)
        elif column.dtype == np.float32:
            feature.float_list.value.extend(np.atleast_1d(value).tolist())
        else:
            feature.int64_list.value.extend(np.atleast_1d(value).tolist())
    return example.SerializeToString(deterministic=True)


def entries(payload):
    """Length and sorted features of an example: protobuf 6 sorts a name after one it begins."""
    assert payload[:1] == b"\n"
    size, at = varint(payload, 1)
    assert size == len(payload) - at
    found = []
    while at < len(payload):
        assert payload[at : at + 1] == b"\n"
        size, start = varint(payload, at + 1)
        at = start + size
        found.append(payload[start:at])
    return len(payload), sorted(found)


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 8))
    columns = {}
    for name in draw(st.lists(st.text(max_size=200), unique=True, min_size=1, max_size=5)):
        kind = draw(st.sampled_from(["float", "int", "constant", "bytes"]))
        shape = draw(st.sampled_from([(rows,), (rows, 1), (rows, 3), (rows, 40), (rows, 0)]))
        if kind == "float":
            values = st.floats(width=32)
            columns[name] = draw(hnp.arrays(np.float32, shape, elements=values))
        elif kind == "int":
            values = st.one_of(INT64, st.sampled_from(EDGES))
            columns[name] = draw(hnp.arrays(np.int64, shape, elements=values))
        elif kind == "constant":
            columns[name] = draw(st.one_of(st.binary(max_size=200), INT64))
        else:
            distinct = draw(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
            column = np.empty(rows, object)
            column[:] = [draw(st.sampled_from(distinct)) for _ in range(rows)]
            columns[name] = column
    return columns, rows


@settings(max_examples=80, deadline=None)
@given(tables())
def test_rows_are_byte_for_byte_what_protobuf_writes(table):
    columns, rows = table
    found = payloads(columns, rows)
    assert [entries(p) for p in found] == [entries(expected(columns, r)) for r in range(rows)]


def listed(values):
    flat = pa.array(values.ravel())
    width = values.size // len(values)
    return pa.ListArray.from_arrays(np.arange(len(values) + 1, dtype=np.int32) * width, flat)


def test_rows_parse_to_what_tfx_bsl_encodes():
    rng = np.random.default_rng(0)
    columns = {
        "_row_id": rng.integers(-(2**63), 2**63 - 1, 500),
        "x": rng.normal(size=500).astype(np.float32),
        "v": rng.normal(size=(500, 70)).astype(np.float32),
        "n": rng.integers(-300, 300, (500, 4)),
        "label": rng.choice(np.array([b"no", b"yes", b""], object), 500),
    }
    batch = pa.RecordBatch.from_arrays([listed(c) for c in columns.values()], list(columns))
    ours = payloads(columns, 500, 64)
    for mine, theirs in zip(ours, examples_io.encode(batch), strict=True):
        assert tf.train.Example.FromString(mine) == tf.train.Example.FromString(theirs)


@pytest.mark.parametrize("value", EDGES)
def test_int64_varints_are_minimal(value):
    columns = {"a": np.array([value, 5, value])}
    assert payloads(columns, 3) == [expected(columns, row) for row in range(3)]


def test_nan_and_infinity_keep_their_bits():
    bits = np.array([0x7FC00001, 0xFFC00000, 0x7F800000, 0xFF800000, 0x80000000], np.uint32)
    found = payloads({"x": bits.view(np.float32)}, 5)
    for payload, value in zip(found, bits, strict=True):
        assert payload.endswith(value.tobytes())


def test_columns_that_do_not_lie_in_one_piece_are_encoded():
    wide = np.arange(60, dtype=np.float32).reshape(10, 6)
    columns = {"a": wide[:, 1], "b": wide[:, ::2], "c": np.arange(20)[::2]}
    assert payloads(columns, 10) == [expected(columns, row) for row in range(10)]


def test_the_size_of_chunks_does_not_matter():
    columns = {"i": np.array(EDGES), "x": np.arange(len(EDGES), dtype=np.float32)}
    sizes = [1, 2, 5, 100]
    whole = [b"".join(f.buffer for f in encode(columns, len(EDGES), size)) for size in sizes]
    assert len(set(whole)) == 1


def test_no_rows_make_no_frames():
    assert encode({"x": np.empty(0, np.float32), "y": b"z", "l": np.empty(0, object)}, 0) == []


def test_tensorflow_reads_the_frames_with_their_checksums(tmp_path):
    columns = {"i": np.array(EDGES), "text": "größe".encode(), "größe": np.float32(EDGES)}
    path = str(tmp_path / "a.gz")
    with tfrecord.Writer(path) as writer:
        for frames in encode(columns, len(EDGES), 5):
            writer.write(frames.buffer)
    read = list(tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator())
    assert read == [expected(columns, row) for row in range(len(EDGES))]


@pytest.mark.parametrize(
    ("column", "error"),
    [
        (np.zeros(3), TypeError),
        (np.zeros(3, np.int32), TypeError),
        (np.array([b"a", None, b"b"], object), TypeError),
        (np.zeros((3, 2, 2), np.float32), TypeError),
        (np.zeros(2, np.float32), ValueError),
    ],
)
def test_a_column_that_cannot_be_encoded_is_named(column, error):
    with pytest.raises(error, match="'odd'"):
        encode({"odd": column}, 3)
