"""URIs as folders and files, and what makes their stores readable."""

import os
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from tfx_imbalance.components import examples_io, storage, tfrecord
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer import executor as trainer_executor


@pytest.fixture
def nothing_installed(monkeypatch):
    """Neither boto3 nor tensorflow-io."""
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    # Another test may have loaded it.
    monkeypatch.setattr(storage, "_registered", lambda name: name in storage._BUILT_IN)
    storage.load_tensorflow_io.cache_clear()
    yield
    storage.load_tensorflow_io.cache_clear()


@pytest.mark.parametrize(
    ("uri", "scheme", "parent"),
    [
        ("s3://bucket/root/Trainer/", "s3", "s3://bucket/root"),
        ("gs://bucket/a", "gs", "gs://bucket"),
        ("/home/me/runs", "", "/home/me"),
        ("runs/a", "", "runs"),
        ("/odd:/name/x", "", "/odd:/name"),
    ],
)
def test_scheme_and_parent_of_uris_and_paths(uri, scheme, parent):
    assert storage.scheme(uri) == scheme
    assert storage.parent(uri) == parent


def test_the_state_of_training_lies_in_the_store_of_the_artifacts():
    report = standard_artifacts.Model()
    report.uri = "gs://bucket/root/Trainer/report/7"
    assert trainer_executor._state_dir({"report": [report]}) == (
        f"gs://bucket/root/Trainer/{trainer_executor.STATE_FOLDER}"
    )


def test_local_paths_need_nothing(nothing_installed):
    storage.prepare("/home/me", "runs", "gs://bucket/root", "", tensorflow=True)


@pytest.mark.parametrize(
    ("uri", "tensorflow", "said"),
    [
        ("s3://bucket/data", False, r"^s3://bucket/data: s3:// needs boto3: pip install"),
        ("s3://bucket/root", True, r"^s3://bucket/root: TensorFlow .* reads no s3:// here"),
        ("hdfs://host/data", False, r"^hdfs://host/data: TensorFlow .* reads no hdfs:// here"),
        ("minio://bucket/data", False, r"minio:// is not supported; expected a local path, gs://"),
    ],
)
def test_a_store_that_nothing_reads_is_told_with_a_remedy(nothing_installed, uri, tensorflow, said):
    with pytest.raises(UserError, match=said):
        storage.prepare("/local", uri, tensorflow=tensorflow)


def test_tensorflow_is_told_the_endpoint_that_boto3_was(nothing_installed, monkeypatch):
    for name in ("S3_ENDPOINT", "S3_USE_HTTPS", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    storage.load_tensorflow_io()
    assert os.environ["S3_ENDPOINT"] == "http://minio:9000"
    assert os.environ["S3_USE_HTTPS"] == "0"
    assert os.environ["AWS_REGION"] == "eu-west-1"


def test_what_was_moved_may_be_moved_again(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    target.write_text("old")
    for _ in range(2):
        storage.move(str(source), str(target))
        assert (source.exists(), target.read_text()) == (False, "new")
    target.unlink()
    with pytest.raises((OSError, tf.errors.NotFoundError)):
        storage.move(str(source), str(target))


def test_a_folder_that_is_not_there_counts_as_removed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for folder in (tmp_path / "a", tmp_path / "a", "ram://never/made"):
        storage.remove_tree(str(folder))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_or_cannot_be_written(tmp_path):
    storage.check_writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"none/such: cannot be written: .*; see that the bucket"):
        storage.check_writable(str(tmp_path / "none" / "such"))


def test_tensorflow_reads_what_it_can_where_it_lies(tmp_path):
    with storage.for_tensorflow(str(tmp_path)) as folder:
        assert folder == str(tmp_path)


def parts_of(staging, contents):
    """Files that workers have written, as (path, rows)."""
    staging.mkdir()
    parts = []
    for i, records in enumerate(contents):
        path = str(staging / str(i))
        with tfrecord.Writer(path) as writer:
            writer.write(examples_io.framed(records).buffer)
        parts.append((path, len(records)))
    return parts


def records_in(directory):
    files = sorted(str(path) for path in directory.iterdir())
    return [bytes(r) for block in examples_io.read_blocks(files) for r in block]


def test_publishing_that_was_cut_short_and_is_done_again_loses_and_doubles_nothing(tmp_path):
    staging, directory = tmp_path / "staging", tmp_path / "split"
    parts = parts_of(staging, [[b"a"], [b"b", b"c"], [b"d"]])
    directory.mkdir()
    os.rename(parts[0][0], directory / f"data_tfrecord-{Path(parts[0][0]).name}.gz")
    for _ in range(2):
        assert examples_io._publish(parts, str(staging), str(directory), 1) == 4
        assert records_in(directory) == [b"a", b"b", b"c", b"d"]
        assert not staging.exists()


@pytest.mark.parametrize("contents", [[[b"x"], [b"y"]], []])
def test_files_of_an_attempt_that_died_after_publishing_are_not_read_beside_new_ones(
    tmp_path, contents
):
    directory = tmp_path / "split"
    old = parts_of(tmp_path / "old", [[b"old"]] * 3)
    examples_io._publish(old, str(tmp_path / "old"), str(directory), 1)
    parts = parts_of(tmp_path / "new", contents)
    examples_io._publish(parts, str(tmp_path / "new"), str(directory), 1)
    assert records_in(directory) == [r for part in contents for r in part]
