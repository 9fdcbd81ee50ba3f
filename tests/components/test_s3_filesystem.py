"""s3:// for TFX's fileio, beside the same files on the local disk as the oracle."""

import fnmatch
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from apache_beam.io.aws import s3io
from apache_beam.io.aws.clients.s3 import fake_client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tfx.dsl.io import filesystem, filesystem_registry

from tfx_imbalance.components import s3_filesystem, storage
from tfx_imbalance.components.s3_filesystem import S3Filesystem

BUCKET = "s3://bucket"
NAMES = st.sampled_from(["a", "b", "ab", "c.txt", "d[1]", "e f"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


class FakeClient(fake_client.FakeS3Client):
    """Beam's fake, and the one method of boto3's client that is called beside it."""

    def __init__(self):
        super().__init__()
        self.client = SimpleNamespace(put_object=self._put)
        self.known_buckets.add("bucket")

    def _put(self, Bucket, Key, Body):
        self.add_file(fake_client.FakeFile(Bucket, Key, Body))


@pytest.fixture
def client(monkeypatch):
    made = FakeClient()
    monkeypatch.setattr(s3_filesystem, "_client", lambda: made)
    monkeypatch.setattr(s3_filesystem, "_store", lambda: s3io.S3IO(made))
    return made


def put(path, content="x"):
    with S3Filesystem.open(path, "w") as file:
        file.write(content)


def tree(paths):
    """The paths without those that would be a folder and a file at once."""
    return [p for p in paths if not any(q.startswith(f"{p}/") for q in paths)]


def below(folder):
    return sorted(
        (os.path.relpath(top, folder), sorted(folders), sorted(files))
        for top, folders, files in os.walk(folder)
    )


def below_bucket(path):
    return sorted(
        (os.path.relpath(top.removeprefix("s3:/"), path.removeprefix("s3:/")), sorted(d), sorted(f))
        for top, d, f in S3Filesystem.walk(path)
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    paths=st.sets(PATHS, min_size=1, max_size=14).map(tree),
    asked=PATHS,
    pattern=st.lists(
        st.sampled_from(["a", "*", "?", "a*", "[ab]", "[!a]", "*.txt"]), min_size=1, max_size=3
    ).map("/".join),
)
def test_it_tells_the_same_of_files_and_folders_as_a_disk(
    client, tmp_path_factory, paths, asked, pattern
):
    client.files.clear()
    root = tmp_path_factory.mktemp("disk")
    for path in paths:
        put(f"{BUCKET}/{path}", path)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    local, remote = root / asked, f"{BUCKET}/{asked}"
    assert S3Filesystem.exists(remote) == local.exists()
    assert S3Filesystem.isdir(remote) == local.is_dir()
    assert below_bucket(BUCKET) == below(root)
    if local.is_dir():
        assert sorted(S3Filesystem.listdir(remote)) == sorted(os.listdir(local))
        assert below_bucket(remote) == below(local)
    else:
        with pytest.raises(filesystem.NotFoundError):
            S3Filesystem.listdir(remote)
    matching = sorted(
        f"{BUCKET}/{path.relative_to(root)}"
        for path in root.rglob("*")
        if len(path.relative_to(root).parts) == pattern.count("/") + 1
        and all(map(fnmatch.fnmatchcase, path.relative_to(root).parts, pattern.split("/")))
    )
    assert S3Filesystem.glob(f"{BUCKET}/{pattern}") == matching
    if local.exists():
        S3Filesystem.rename(remote, f"{BUCKET}/moved/here")
        (root / "moved").mkdir()
        local.rename(root / "moved" / "here")
        _remove_empty(root)
        assert below_bucket(BUCKET) == below(root)


def _remove_empty(root):
    """A store has no empty folders."""
    for folder, _, _ in os.walk(root, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


@pytest.mark.parametrize("content", [b"", b"abc", b"\0\xff" * 100_000])
def test_bytes_come_back_as_they_were_written(client, content):
    with S3Filesystem.open(f"{BUCKET}/a/b", "wb") as file:
        file.write(content[:2])
        file.write(content[2:])
    with S3Filesystem.open(f"{BUCKET}/a/b", "rb") as file:
        assert file.read() == content
        file.seek(1)
        assert file.read(3) == content[1:4]
    assert S3Filesystem.stat(f"{BUCKET}/a/b").length == len(content)
    assert S3Filesystem.stat(f"{BUCKET}/a") == (0, 0)


def test_text_is_utf_8_and_read_by_lines(client):
    put(f"{BUCKET}/t", "grün\nblau\n")
    with S3Filesystem.open(f"{BUCKET}/t") as file:
        assert list(file) == ["grün\n", "blau\n"]


def test_what_is_there_is_written_over_only_when_asked(client):
    put(f"{BUCKET}/a", "a")
    put(f"{BUCKET}/b", "b")
    for act in (S3Filesystem.copy, S3Filesystem.rename):
        with pytest.raises(OSError, match="b: is there already"):
            act(f"{BUCKET}/a", f"{BUCKET}/b")
    S3Filesystem.rename(f"{BUCKET}/a", f"{BUCKET}/b", overwrite=True)
    with S3Filesystem.open(f"{BUCKET}/b") as file:
        assert file.read() == "a"
    assert not S3Filesystem.exists(f"{BUCKET}/a")


def test_a_removed_folder_takes_all_in_it_and_no_neighbour(client):
    for path in ("a/x", "a/b/y", "ab/z", *(f"a/{i}" for i in range(12))):
        put(f"{BUCKET}/{path}")
    S3Filesystem.rmtree(f"{BUCKET}/a")
    assert [key for _, key in client.files] == ["ab/z"]


@pytest.mark.parametrize(
    "act",
    [
        S3Filesystem.open,
        S3Filesystem.listdir,
        S3Filesystem.remove,
        S3Filesystem.rmtree,
        S3Filesystem.stat,
        lambda path: S3Filesystem.copy(path, f"{BUCKET}/x"),
        lambda path: S3Filesystem.rename(path, f"{BUCKET}/x"),
    ],
)
def test_what_is_not_there_is_not_found(client, act):
    with pytest.raises(filesystem.NotFoundError, match="none/such"):
        act(f"{BUCKET}/none/such")


def test_a_store_cannot_append(client):
    with pytest.raises(ValueError, match="found mode 'a'"):
        S3Filesystem.open(f"{BUCKET}/a", "a")


def test_tensorflow_gets_a_copy_of_what_it_cannot_read(client, monkeypatch):
    monkeypatch.setattr(storage, "tensorflow_reads", lambda name: name != "s3")
    registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
    known = dict(registry._preferred_filesystem_by_scheme)
    monkeypatch.setattr(registry, "_preferred_filesystem_by_scheme", known)
    s3_filesystem.register()
    put(f"{BUCKET}/model/saved_model.pb", "graph")
    put(f"{BUCKET}/model/variables/v", "values")
    with storage.for_tensorflow(f"{BUCKET}/model") as folder:
        assert Path(folder, "saved_model.pb").read_text() == "graph"
        assert Path(folder, "variables", "v").read_text() == "values"
    assert not Path(folder).exists()
