import gzip
import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components import tfrecord
from tfx_imbalance.components.errors import UserError

RECORDS = st.lists(st.binary(max_size=40), max_size=30)


def write(path, records):
    compression = "GZIP" if str(path).endswith(".gz") else ""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def read(path, block_bytes=4 << 20):
    records = []
    for frames in tfrecord.read_frames(str(path), block_bytes):
        assert len(frames) > 0
        assert len(frames.buffer) == frames.offsets[-1]
        records += frames.payloads()
    return records


def framed(records):
    offsets = np.cumsum([0, *map(len, records)])
    return tfrecord.frame(b"".join(records), offsets)


def some_records(n=1000, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.bytes(int(size)) for size in rng.integers(0, 300, n)]


@settings(max_examples=40, deadline=None)
@given(records=RECORDS)
def test_framing_is_tensorflows(records, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("a") / "a", records)
    with open(path, "rb") as file:
        assert framed(records).buffer == file.read()
    assert framed(records).payloads() == records


def test_framing_may_start_within_the_payloads():
    frames = tfrecord.frame(np.frombuffer(b"--abcde--", np.uint8), np.array([2, 5, 5, 7]))
    assert frames.payloads() == [b"abc", b"", b"de"]


@settings(deadline=None)
@given(st.data())
def test_repeated_gives_each_record_its_copies_in_order(data):
    records = data.draw(RECORDS)
    sizes = st.lists(st.integers(0, 3), min_size=len(records), max_size=len(records))
    copies = np.array(data.draw(sizes), np.int64)
    wanted = [r for record, k in zip(records, copies, strict=True) for r in [record] * k]
    assert framed(records).repeated(copies).buffer == framed(wanted).buffer


@settings(deadline=None)
@given(st.data())
def test_select_takes_masks_and_indices(data):
    records = data.draw(RECORDS)
    n = len(records)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    chosen = framed(records).select(mask)
    assert chosen.payloads() == list(itertools.compress(records, mask))
    rows = data.draw(st.lists(st.integers(0, n - 1))) if n else []
    chosen = framed(records).select(np.array(rows, np.int64))
    assert chosen.payloads() == [records[i] for i in rows]
    assert len(chosen) == len(rows)
    assert chosen.offsets[-1] == len(chosen.buffer)


@pytest.mark.parametrize("name", ["a", "a.gz"])
@pytest.mark.parametrize("block_bytes", [1, 7, 1000, 4 << 20])
def test_files_read_whole_whatever_the_blocks(tmp_path, name, block_bytes):
    records = [*some_records(60), b"x" * 5000, *some_records(60, seed=1)]
    path = write(tmp_path / name, records)
    assert read(path, block_bytes) == records


@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_a_file_without_records_has_no_frames(tmp_path, name):
    assert list(tfrecord.read_frames(write(tmp_path / name, []))) == []


def test_an_abandoned_read_leaves_no_thread_at_work(tmp_path):
    frames = tfrecord.read_frames(write(tmp_path / "a.gz", some_records()), 1000)
    assert len(next(frames)) > 0
    frames.close()


def test_gzip_members_are_read_one_after_another(tmp_path):
    first, second = some_records(50), some_records(50, seed=1)
    whole = b"".join(gzip.compress(framed(part).buffer) for part in (first, second))
    (tmp_path / "a.gz").write_bytes(whole)
    assert read(tmp_path / "a.gz") == first + second


def damaged(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{name}: truncated, corrupt or no TFRecord file"):
        read(path, 1000)


@pytest.mark.parametrize("name", ["a", "a.gz"])
@pytest.mark.parametrize("cut", [1, 8, 9, 100, 5000])
def test_a_truncated_file_is_the_users_to_mend(tmp_path, name, cut):
    with open(write(tmp_path / name, some_records(200)), "rb") as file:
        data = file.read()
    damaged(tmp_path, name, data[:-cut])


def test_a_gzip_cut_between_records_is_noticed(tmp_path):
    compressor = gzip.zlib.compressobj(wbits=31)
    data = compressor.compress(framed(some_records(50)).buffer)
    damaged(tmp_path, "a.gz", data + compressor.flush(gzip.zlib.Z_SYNC_FLUSH))


def test_any_flipped_bit_of_an_uncompressed_file_is_noticed(tmp_path):
    data = bytearray(framed([b"abc", b"", b"defgh"]).buffer)
    for at in range(len(data)):
        data[at] ^= 4
        damaged(tmp_path, "a", bytes(data))
        data[at] ^= 4


def test_a_flipped_bit_of_a_gzip_is_noticed(tmp_path):
    with open(write(tmp_path / "a.gz", some_records(200)), "rb") as file:
        data = bytearray(file.read())
    for at in np.linspace(12, len(data) - 1, 20, dtype=int):
        data[at] ^= 16
        damaged(tmp_path, "a.gz", bytes(data))
        data[at] ^= 16


@pytest.mark.parametrize("content", [b"a,b,c\n1,2,3\n" * 100, b"a", struct.pack("<Q", 2**63) * 9])
def test_a_file_of_another_kind_is_the_users_to_mend(tmp_path, content):
    damaged(tmp_path, "a", content)
    damaged(tmp_path, "a.gz", content)
    damaged(tmp_path, "a.gz", gzip.compress(content))


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_tensorflow_reads_what_the_writer_wrote(tmp_path, threads):
    records = some_records(9_000)
    path = str(tmp_path / "a.gz")
    with tfrecord.Writer(path, threads=threads) as writer:
        for start in range(0, len(records), 3000):
            writer.write(framed(records[start : start + 3000]).buffer)
    assert list(tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator()) == records
    assert read(path) == records


def test_an_empty_file_is_written_whole(tmp_path):
    path = str(tmp_path / "a.gz")
    tfrecord.Writer(path).close()
    assert list(tf.data.TFRecordDataset(path, "GZIP")) == []
    assert read(path) == []


def test_the_file_depends_neither_on_threads_nor_on_how_it_was_fed(tmp_path):
    data = framed(some_records(9_000)).buffer
    for name, threads, step in [("a.gz", 1, len(data)), ("b.gz", 4, 12345), ("c.gz", 2, 2 << 20)]:
        with tfrecord.Writer(str(tmp_path / name), threads=threads) as writer:
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
    assert len({(tmp_path / name).read_bytes() for name in ("a.gz", "b.gz", "c.gz")}) == 1


def test_an_error_of_a_thread_surfaces(tmp_path):
    writer = tfrecord.Writer(str(tmp_path / "a.gz"), threads=2)

    def full(_):
        raise OSError("No space left on device")

    writer._file.write = full
    with pytest.raises(OSError, match="No space left"):
        for _ in range(50):
            writer.write(np.random.default_rng(0).bytes(2 << 20))
        writer.close()
    with pytest.raises(OSError, match="No space left"):
        writer.close()


def test_a_file_whose_writing_failed_is_removed(tmp_path):
    with pytest.raises(KeyError), tfrecord.Writer(str(tmp_path / "a.gz")) as writer:
        writer.write(framed([b"abc"]).buffer)
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [10, 100, 199])
def test_a_gz_that_is_cut_between_two_records_is_refused(tmp_path, cut):
    """TensorFlow reads it as a clean end."""
    whole = tmp_path / "whole.tfrecord"
    with tf.io.TFRecordWriter(str(whole)) as writer:
        for i in range(200):
            writer.write(b"%d" % i)
    frames = next(iter(tfrecord.read_frames(str(whole))))
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(frames.buffer[: frames.offsets[cut]]) + packer.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "cut.tfrecord.gz").write_bytes(packed)
    with pytest.raises(UserError, match=r"cut\.tfrecord\.gz: truncated"):
        list(tfrecord.read_frames(str(tmp_path / "cut.tfrecord.gz")))


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
@pytest.mark.parametrize("size", [101, 1 << 40])
def test_a_record_that_is_too_long_is_refused_by_its_length(tmp_path, name, size):
    """What follows its length is never waited for."""
    last = tfrecord.headers(np.array([size])).tobytes() + bytes(9)
    if size < 1 << 20:
        last = framed([bytes(size)]).buffer
    data = framed([b"x" * 100, b""]).buffer + last
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(data))
    frames = tfrecord.read_frames(str(tmp_path / name), max_record_bytes=100)
    message = rf"{name}, row 3: a record of {size:,} bytes, more than 100; raise data"
    with pytest.raises(UserError, match=message):
        list(frames)


def test_a_record_of_the_greatest_length_is_read(tmp_path):
    path = write(tmp_path / "a", [b"x" * 100] * 3)
    assert len(next(tfrecord.read_frames(path, max_record_bytes=100))) == 3
