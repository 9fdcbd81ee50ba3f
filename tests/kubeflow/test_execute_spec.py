"""The compiled spec runs container by container, and gives the local run's figures."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.workbench import Workbench, rows, write_csv
from tests.kubeflow import backend, sandbox
from tests.kubeflow.image import ROOT
from tests.kubeflow.object_store import ObjectStore
from tests.kubeflow.small_specs import spec, task
from tests.kubeflow.spec_runner import Image, Pods, TaskRun, execute

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

FIGURES = ("metrics", "slices", "threshold", "class_counts", "gates")
VERDICTS = ("outcome", "blessed", "drift", "seed", "versions")
SECRETS = {"object-store": {"access_key": "not-a-key", "secret_key": "not-a-secret"}}


class Cluster:
    """Runs a config's compiled pipeline; its registry and its store last from run to run.

    Where this machine allows it, the pipeline root is s3://, and a container sees none of the
    machine's files but the system's, the image, the data and the registry.
    """

    def __init__(self, image: Image, folder: Path, data: Path) -> None:
        self.serving = folder / "serving"
        self.serving.mkdir(parents=True)
        if sandbox.is_available():
            store = ObjectStore(folder / "store")
            mounts = {"/data": data.parent, "/serving": self.serving}
            self.pods = Pods(image, folder / "pods", store, mounts, SECRETS)
            self.root = "s3://bucket/root"
            self.parameters = {"data_path": f"/data/{data.name}", "serving_dir": "/serving"}
        else:
            self.pods = Pods(image, folder / "pods", secrets=SECRETS)
            self.root = str(folder / "root")
            self.parameters = {"data_path": str(data), "serving_dir": str(self.serving)}

    def run(self, bench: Workbench, generation: backend.Generation) -> dict[str, TaskRun]:
        from tfx_imbalance.pipeline.config import load_config
        from tfx_imbalance.pipeline.runners.kubeflow import compile_config

        compiled = compile_config(load_config(bench.config_path), config_path=bench.config_path)
        return self.run_spec(compiled.text, generation)

    def run_spec(self, text: str, generation: backend.Generation) -> dict[str, TaskRun]:
        return execute(
            backend.load(text),
            self.pods,
            pipeline_root=self.root,
            parameters=self.parameters,
            generation=generation,
            report=lambda key, run: print(f"{key}: {run.seconds:.1f} s"),
        )

    def summary(self, done: dict[str, TaskRun]) -> dict[str, Any]:
        """What Reporter found."""
        report = self.pods.path(done["Reporter"].outputs.artifacts["report"])
        return json.loads((report / "summary.json").read_text())

    @property
    def pushed(self) -> list[str]:
        """Versions in the registry, as TensorFlow Serving finds them."""
        return sorted(path.parent.name for path in self.serving.glob("[0-9]*/saved_model.pb"))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What nested dicts and lists hold, by its path."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{path}/{key}")
    else:
        yield path, value


def assert_same_figures(found: dict[str, Any], local: dict[str, Any]) -> None:
    assert {key: found[key] for key in VERDICTS} == {key: local[key] for key in VERDICTS}
    ours, theirs = (dict(leaves({key: s[key] for key in FIGURES})) for s in (found, local))
    assert set(ours) == set(theirs)
    for path, value in ours.items():
        is_figure = isinstance(value, float) and isinstance(theirs[path], float)
        same = abs(value - theirs[path]) <= 1e-6 if is_figure else value == theirs[path]
        assert same, f"{path}: {value} in containers, {theirs[path]} here"
    assert sum(isinstance(value, float) for value in ours.values()) > 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, image: Image) -> tuple[Workbench, Cluster]:
    folder = tmp_path_factory.mktemp("small")
    (folder / "data").mkdir()
    data = write_csv(folder / "data" / "data.csv", rows())
    config = {
        "name": "small",
        "seed": 3,
        "data": {"path": "data/data.csv", "label": "y", "positive": "yes"},
        "train": {"mlp": {"epochs": 4, "hidden": [16], "batch_size": 64}},
        "output": {"runs_dir": str(folder / "runs")},
        "gates": {"absolute": [{"metric": "auc", "min": 0.55}]},
        "kubeflow": {
            "image": "registry.example.com/tfx-imbalance:0.1.0",
            "pipeline_root": "s3://bucket/root",
            "data_path": "s3://bucket/data.csv",
            "serving_dir": "s3://bucket/serving",
            "retries": {"default": 0},
        },
    }
    return Workbench(folder, config), Cluster(image, folder / "cluster", data)


PROBE = """
import importlib, json, os, sys
import tfx_imbalance.pipeline.runners.kubeflow_entrypoint as entry
found = [name for name in ("benchmarks", "components") if importlib.util.find_spec(name)]
python = os.path.realpath(sys.executable)
print(json.dumps([dict(os.environ), os.listdir("."), [python, *sys.path], entry.__file__, found]))
"""


def test_a_container_finds_the_image_and_nothing_of_the_checkout(
    tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    container = {"image": "any", "command": ["python", "-c", PROBE]}
    done = execute(
        spec({"probe": task()}, executors={"probe": {"container": container}}),
        Pods(image, tmp_path),
        pipeline_root=str(tmp_path / "root"),
    )
    said = (done["probe"].folder / "log.txt").read_text().splitlines()[-1]
    environ, files, path, entry, foreign = json.loads(said)
    set_here = {"PATH", "HOME", "TMPDIR"}
    # What libraries set for themselves on import is not told to them from outside.
    assert {key: environ[key] for key in set_here} == done["probe"].environ
    assert "PYTHONPATH" not in environ
    assert files == foreign == []
    assert Path(entry).is_relative_to(image.bin.parent)
    assert not [entry for entry in path if Path(entry).is_relative_to(ROOT)]


def test_a_cold_start_pushes_with_the_local_run_s_figures(
    small: tuple[Workbench, Cluster],
) -> None:
    bench, cluster = small
    done = cluster.run(bench, "api")
    found = cluster.summary(done)
    assert found["outcome"] == "pushed"
    assert len(cluster.pushed) == 1
    assert found["pushed_path"].endswith(cluster.pushed[0])
    for run in done.values():
        assert set(run.environ) == {"PATH", "HOME", "TMPDIR"}
        assert str(ROOT) not in run.environ["PATH"]
    assert bench.run() == 0
    assert_same_figures(found, bench.summary)


def test_the_next_run_is_compared_with_the_champion(small: tuple[Workbench, Cluster]) -> None:
    bench, cluster = small
    if not cluster.pushed:
        pytest.skip("the cold start did not push")
    [champion] = cluster.pushed
    bench.config["train"] = {"mlp": {"epochs": 6, "hidden": [16], "batch_size": 64}}
    bench.config["gates"]["champion"] = [{"metric": "auc", "max_loss": 0.5}]
    found = cluster.summary(cluster.run(bench, "mlmd"))
    assert found["champion"] == champion
    assert found["outcome"] == "pushed"
    assert len(cluster.pushed) == 2
    assert any(gate["champion_value"] is not None for gate in found["gates"])
    assert bench.run() == 0
    assert bench.summary["champion"] is not None
    assert_same_figures(found, bench.summary)


def test_the_committed_spec_runs_to_the_pushed_model_with_the_local_run_s_figures(
    tmp_path: Path, image: Image
) -> None:
    """With either stack, though it was compiled with one of them."""
    config = ROOT / "configs" / "kubeflow" / "bank.yaml"
    data = ROOT / "data" / "bank.csv.gz"
    if not data.exists():
        subprocess.run([sys.executable, ROOT / "scripts" / "demo_data.py", "bank"], check=True)
    bench = Workbench(
        tmp_path,
        {"name": "bank", "extends": str(config), "output": {"runs_dir": str(tmp_path / "runs")}},
    )
    cluster = Cluster(image, tmp_path / "cluster", data)
    done = cluster.run_spec((ROOT / "kubeflow" / "pipeline.yaml").read_text(), "mlmd")
    found = cluster.summary(done)
    assert found["outcome"] == "pushed"
    assert len(cluster.pushed) == 1
    for run in done.values():
        variables = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        assert set(run.environ) == {"PATH", "HOME", "TMPDIR", *variables}
        assert not [text for text in run.command if "not-a-secret" in text]
    assert bench.run() == 0
    assert_same_figures(found, bench.summary)
