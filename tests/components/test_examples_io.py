"""Blocks of tf.Examples to files and back."""

import gzip
import re
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from tfx_imbalance.components import examples_io
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.examples_io import WriteExamples, framed


def batch(values):
    """Three features of each kind; row i has i % 3 values of `many`."""
    return pa.RecordBatch.from_pydict(
        {
            "i": pa.array([[v] for v in values], pa.list_(pa.int64())),
            "f": pa.array(
                [None if v % 5 == 0 else [v / 4] for v in values], pa.list_(pa.float32())
            ),
            "many": pa.array([[b"x"] * (v % 3) for v in values], pa.large_list(pa.large_binary())),
        }
    )


def pipeline(*options):
    return beam.Pipeline(options=PipelineOptions([*IN_PROCESS_BEAM, *options]))


def written(directory):
    files = sorted(str(path) for path in Path(directory).iterdir())
    return files, [bytes(r) for block in examples_io.read_blocks(files) for r in block]


def test_rows_come_back_as_they_were_encoded():
    rows = batch(range(20))
    records = examples_io.encode(rows)
    back = examples_io.decoder().DecodeBatch(records)
    assert [r["i"] for r in back.to_pylist()] == rows.column("i").to_pylist()
    assert [r["f"] or None for r in back.to_pylist()] == rows.column("f").to_pylist()
    assert [r["many"] or [] for r in back.to_pylist()] == rows.column("many").to_pylist()
    parsed = tf.io.parse_example(
        records, {"f": tf.io.FixedLenFeature([1], tf.float32, default_value=-1.0)}
    )
    np.testing.assert_array_equal(
        parsed["f"][:, 0], [-1.0 if v % 5 == 0 else v / 4 for v in range(20)]
    )


def test_the_decoder_decodes_only_what_is_asked_and_gives_null_where_it_is_absent():
    back = examples_io.decoder({"i": "int", "other": "bytes"}).DecodeBatch(
        examples_io.encode(batch([1, 2]))
    )
    assert back.to_pydict() == {"i": [[1], [2]], "other": [None, None]}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_blocks_are_of_the_asked_size_and_in_the_order_of_files(tmp_path, suffix):
    files = []
    for k in range(2):
        files.append(str(tmp_path / f"{k}.tfrecord{suffix}"))
        with tf.io.TFRecordWriter(files[-1], "GZIP" if suffix else "") as writer:
            for i in range(25):
                writer.write(b"%d-%d" % (k, i))
    blocks = list(examples_io.read_blocks(files, batch_rows=10))
    assert [len(block) for block in blocks] == [10, 10, 5, 10, 10, 5]
    assert b"".join(r + b" " for block in blocks for r in block).split() == [
        b"%d-%d" % (k, i) for k in range(2) for i in range(25)
    ]


def test_blocks_of_long_records_have_fewer_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(examples_io, "_BLOCK_BYTES", 1000)
    path = str(tmp_path / "a.tfrecord")
    records = [bytes([i]) * 3_000_000 for i in range(9)] + [b"x"] * 9
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    blocks = list(examples_io.read_blocks([path]))
    assert [r for block in blocks for r in block] == records
    assert max(sum(map(len, block)) for block in blocks) < 10_000_000


def test_a_corrupt_file_is_an_error(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        writer.write(b"x" * 1000)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[500] ^= 1
    path.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(UserError, match=r"a.tfrecord.gz: truncated, corrupt or no TFRecord file"):
        list(examples_io.read_blocks([str(path)]))


def test_written_rows_are_those_given_in_whole_files_under_their_final_names(tmp_path):
    blocks = [framed(examples_io.encode(batch(range(k * 100, k * 100 + 100)))) for k in range(6)]
    directory = tmp_path / "Split-train"
    with pipeline() as p:
        rows = p | beam.Create(blocks) | WriteExamples(str(directory))
        assert_that(rows, equal_to([600]))
    files, records = written(directory)
    assert all(re.fullmatch(r"data_tfrecord-[0-9a-f]{32}\.gz", Path(f).name) for f in files)
    back = examples_io.decoder({"i": "int"}).DecodeBatch(records)
    assert sorted(v for [v] in back.column("i").to_pylist()) == list(range(600))
    assert [path.name for path in tmp_path.iterdir()] == ["Split-train"]


def test_several_bundles_make_several_files(tmp_path):
    blocks = [framed([b"%d" % i] * 10) for i in range(40)]
    with pipeline("--direct_num_workers=3", "--direct_running_mode=multi_threading") as p:
        rows = p | beam.Create(blocks) | beam.Reshuffle() | WriteExamples(str(tmp_path / "s"))
        assert_that(rows, equal_to([400]))
    files, records = written(tmp_path / "s")
    assert len(files) > 1
    assert sorted(records) == sorted(b"%d" % i for i in range(40) for _ in range(10))


def test_rows_of_several_collections_are_written_side_by_side(tmp_path):
    with pipeline() as p:
        parts = tuple(
            p | f"Create{k}" >> beam.Create([framed([b"%d" % k] * n)])
            for k, n in enumerate((3, 0, 5))
        )
        rows = parts | WriteExamples(str(tmp_path / "s"))
        assert_that(rows, equal_to([8]))
    files, records = written(tmp_path / "s")
    assert len(files) == 2
    assert sorted(records) == [b"0"] * 3 + [b"2"] * 5


@pytest.mark.parametrize("records", [[], [b""], [b"a", b"", b"bc" * 5000]])
def test_framed_records_are_those_given(records):
    frames = framed(records)
    assert len(frames) == len(records)
    assert frames.payloads() == records


def test_no_rows_make_one_readable_file(tmp_path):
    with pipeline() as p:
        rows = p | beam.Create([]) | WriteExamples(str(tmp_path / "s"))
        assert_that(rows, equal_to([0]))
    files, records = written(tmp_path / "s")
    assert [Path(f).name for f in files] == ["data_tfrecord-empty.gz"]
    assert records == []


def test_a_bundle_that_fails_and_is_tried_again_leaves_nothing_of_the_first_try(tmp_path):
    directory, staging = tmp_path / "s", tmp_path / "staging"
    part = examples_io._WritePart(str(staging), 1)
    part.start_bundle()
    part.process(framed([b"lost"] * 50))  # the worker dies here
    part = examples_io._WritePart(str(staging), 1)
    part.start_bundle()
    part.process(framed([b"kept"] * 3))
    names = [value.value for value in part.finish_bundle()]
    assert examples_io._publish(names, str(staging), str(directory), 1) == 3
    assert written(directory)[1] == [b"kept"] * 3
    assert not staging.exists()


@pytest.mark.parametrize("kept", range(3))
def test_files_are_the_last_tries_where_a_lost_worker_had_some_parts_written_anew(tmp_path, kept):
    directory, staging = tmp_path / "s", tmp_path / "staging"

    def write(record):
        part = examples_io._WritePart(str(staging), 1)
        part.start_bundle()
        part.process(framed([record]))
        [value] = part.finish_bundle()
        return value.value

    first = [write(b"%d" % i) for i in range(3)]
    examples_io._publish(first, str(staging), str(directory), 1)
    second = [first[i] if i == kept else write(b"%d" % i) for i in range(3)]
    assert examples_io._publish(second, str(staging), str(directory), 1) == 3
    assert sorted(written(directory)[1]) == [b"0", b"1", b"2"]


def test_a_failing_job_leaves_no_files_where_readers_look(tmp_path):
    def fail(block):
        if block.payloads() == [b"bad"]:
            raise ValueError("stop here")
        return block

    with pytest.raises(Exception, match="stop here"), pipeline() as p:
        blocks = p | beam.Create([framed([b"good"]), framed([b"bad"])])
        blocks | beam.Map(fail) | WriteExamples(str(tmp_path / "s"))
    assert not (tmp_path / "s").exists()
