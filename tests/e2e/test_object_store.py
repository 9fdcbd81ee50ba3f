"""Whole pipelines whose data, models and artifacts lie on an S3-compatible server."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.workbench import rows, write_csv

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
CLI = "from tfx_imbalance.pipeline.cli import main; main()"
WITHOUT_TENSORFLOW_IO = "import sys; sys.modules['tensorflow_io'] = None; "


def tensorflow_reads_s3() -> bool:
    """Whether there is a tensorflow-io that fits."""
    with contextlib.suppress(PackageNotFoundError):
        version("tensorflow-io")
        return tuple(map(int, version("tensorflow").split(".")[:2])) <= (2, 17)
    return False


def flat(tree: dict[str, Any]) -> dict[str, float]:
    """Path -> number of nested figures."""
    leaves = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= {f"{name}.{path}": number for path, number in flat(value).items()}
        elif value is not None:
            leaves[name] = value
    return leaves


@dataclass
class Store:
    """A server with one bucket, and a config whose data are in it."""

    endpoint: str
    folder: Path
    bucket: str = "imbalance"
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "S3_"))}
        return {
            **kept,
            **KEYS,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def config(self, name: str, **sections: object) -> Path:
        """Writes a config."""
        content = {
            "name": name,
            "seed": 3,
            "data": {"path": f"s3://{self.bucket}/data/", "label": "y", "positive": "yes"},
            "rebalance": {"method": "smote_nc", "sampling_strategy": 0.5},
            "train": {"mlp": {"epochs": 4, "hidden": [16], "batch_size": 64}},
            "gates": {"absolute": [{"metric": "auc", "min": 0.55}]},
            "output": {"runs_dir": str(self.folder / "runs")},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content | sections), encoding="utf-8")
        return path

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs Python, with the server's settings in its environment and nowhere else."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object's content."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def pushed(self, prefix: str) -> set[str]:
        """Versions of whole models below a prefix."""
        return {k.split("/")[-2] for k in self.keys(prefix) if k.endswith("/saved_model.pb")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        # By name, as in a cluster: by address some clients put the bucket into the path anyway.
        made = Store(f"http://localhost:{port}", folder)
        _wait_for(made.endpoint)
        made.client.create_bucket(Bucket=made.bucket)
        content = rows()
        for i, part in enumerate((content[:1200], content[1200:])):
            path = write_csv(folder / f"{i}.csv", part)
            made.client.upload_file(str(path), made.bucket, f"data/{i}.csv")
        yield made
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str) -> None:
    for _ in range(150):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url}: no answer")


@pytest.fixture(scope="module")
def by_fileio(store: Store) -> dict[str, Any]:
    """Summary of a run with data and models in the store, where TensorFlow knows no s3://."""
    config = store.config(
        "models",
        output={
            "runs_dir": str(store.folder / "runs"),
            "serving_dir": f"s3://{store.bucket}/models",
        },
    )
    for expected in ("pushed", "unchanged"):
        done = store.python("-c", WITHOUT_TENSORFLOW_IO + CLI, "run", str(config))
        assert done.returncode == 0, done.stdout + done.stderr
        summary = json.loads((store.folder / "runs/models/latest/summary.json").read_text())
        assert summary["outcome"] == expected
    return summary


def test_data_and_models_may_lie_where_tensorflow_itself_reads_nothing(
    store: Store, by_fileio: dict[str, Any]
) -> None:
    assert len(store.pushed("models/")) == 1
    assert by_fileio["champion"] in store.pushed("models/")
    assert sum(by_fileio["class_counts"]["train"].values()) == 1680


@pytest.mark.skipif(not tensorflow_reads_s3(), reason="no tensorflow-io fits this TensorFlow")
def test_a_whole_pipeline_runs_with_its_root_in_the_store(
    store: Store, by_fileio: dict[str, Any]
) -> None:
    config, root = store.config("whole"), f"s3://{store.bucket}/root"
    serving = f"s3://{store.bucket}/serving"
    for outcome in ("pushed", "unchanged"):
        done = store.python(
            "-m", "tests.e2e.store_pipeline", str(config), root, serving, str(store.folder)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        uri = json.loads(done.stdout.splitlines()[-1])
        assert uri.startswith(f"{root}/Reporter/")
        summary = json.loads(
            store.read(f"{uri.removeprefix(f's3://{store.bucket}/')}/summary.json")
        )
        assert summary["outcome"] == outcome
        assert len(store.pushed("serving/")) == 1
        for split, metrics in by_fileio["metrics"].items():
            assert flat(summary["metrics"][split]) == pytest.approx(flat(metrics), abs=1e-6)
    assert [key for key in store.keys("root/") if ".writing-" in key or ".tally-" in key] == []
    assert not list(REPOSITORY.glob("s3:*"))  # a URI taken for a path


def test_a_root_that_tensorflow_cannot_read_is_refused_with_a_remedy(store: Store) -> None:
    code = (
        f"{WITHOUT_TENSORFLOW_IO}from tfx_imbalance.components import storage; "
        "storage.prepare('s3://imbalance/root', tensorflow=True)"
    )
    done = store.python("-c", code)
    assert done.returncode == 1
    assert "UserError: s3://imbalance/root: TensorFlow" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("without", ["", WITHOUT_TENSORFLOW_IO])
def test_a_bucket_that_is_not_there_is_the_users_mistake(store: Store, without: str) -> None:
    config = store.config(
        "wrong",
        output={"runs_dir": str(store.folder / "runs"), "serving_dir": "s3://missing/serving"},
    )
    done = store.python("-c", without + CLI, "run", str(config))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "s3://missing/serving: cannot be written" in done.stdout + done.stderr
