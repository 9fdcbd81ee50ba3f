"""What Dataflow would be asked for: the options' way to it, and the jobs that Beam makes of nodes.

Google Cloud is not in reach. Beam's own DataflowRunner translates the graphs of our nodes; of its
client only the ends are replaced that would use the network, and that is blocked besides.
"""

import base64
import bz2
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, NoReturn

import apache_beam as beam
import numpy as np
import pytest
import yaml
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.portability.api import beam_runner_api_pb2 as beam_pb
from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.runners.portability import stager
from apache_beam.utils.retry import PermanentException
from tensorflow_data_validation import StatsOptions
from tfx.components.statistics_gen.executor import Executor as StatisticsGen
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import dependency_utils

from tfx_imbalance.components import example_encoder, tfrecord
from tfx_imbalance.components.errors import UserError, recognise
from tfx_imbalance.components.example_gen.executor import Executor as StratifiedExampleGen
from tfx_imbalance.components.rebalancer.executor import Executor as Rebalancer
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.plan import way
from tfx_imbalance.components.rebalancer.rebalance import rebalance
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.pipeline.config import Config, parse_config
from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline
from tfx_imbalance.pipeline.runners import kubeflow_entrypoint
from tfx_imbalance.pipeline.runners.kubeflow import compile_config

ROOT = Path(__file__).parents[2]
IMAGES = "europe-west4-docker.pkg.dev/my-project/images"
IMAGE = f"{IMAGES}/tfx-imbalance-dataflow:0.1.0"
ACCOUNT = "dataflow-worker@my-project.iam.gserviceaccount.com"
DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=europe-west4",
    "--temp_location=gs://my-bucket/dataflow",
    f"--service_account_email={ACCOUNT}",
    f"--sdk_container_image={IMAGE}",
    "--max_num_workers=8",
    "--machine_type=n2-highmem-4",
]
OWN = {
    "Rebalancer": ["--max_num_workers=20", "--machine_type=n2-highmem-8"],
    "Evaluator": ["--runner=FnApiRunner"],
}
BEAM_NODES = {"StratifiedExampleGen", "StatisticsGen", "Transform", "Rebalancer", "Evaluator"}
STAGED = {"pickled_main_session", "submission_environment_dependencies.txt"}
"""Beam's own: its registries of coders and types, and `pip freeze` for the worker's log."""
FEATURES = Features({"a": "float", "b": "float"})
FEW, MANY = {"no": 90, "yes": 10}, {"no": 900_000_000, "yes": 500_000_000}
GRAPHS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "over": ({"method": "over"}, FEW),
    "smote": ({"method": "smote"}, FEW),
    "smote by cells": ({"method": "smote"}, MANY),
    "tomek_links": ({"method": "tomek_links"}, FEW),
    "edited_nearest_neighbours by cells": ({"method": "edited_nearest_neighbours"}, MANY),
    "outliers": ({"method": "under", "outliers": {"method": "isolation_forest"}}, FEW),
}


class Submitted(PermanentException):
    """Raised in place of Dataflow's answer, since nothing would run the job."""


@dataclass(frozen=True)
class Job:
    """A request to Dataflow and what was uploaded for it, by name, into one folder."""

    request: Any
    folder: str
    staged: dict[str, bytes]

    @property
    def environment(self) -> dict[str, Any]:
        return json.loads(apiclient.encoding.MessageToJson(self.request.job.environment))

    @property
    def graph(self) -> beam_pb.Pipeline:
        return beam_pb.Pipeline.FromString(self.staged["pipeline.pb"])

    def pickles(self) -> Iterator[str]:
        """What the functions of steps, of merges and of side inputs are pickled to."""
        for transform in self.graph.components.transforms.values():
            found: list[Any] = []
            if transform.spec.urn == "beam:transform:pardo:v1":
                step = beam_pb.ParDoPayload.FromString(transform.spec.payload)
                found = [step.do_fn, *(side.view_fn for side in step.side_inputs.values())]
            elif transform.spec.urn.startswith("beam:transform:combine_"):
                found = [beam_pb.CombinePayload.FromString(transform.spec.payload).combine_fn]
            for function in found:
                if "pickled" in function.urn:
                    yield bz2.decompress(base64.b64decode(function.payload)).decode("latin-1")


@dataclass
class Cloud:
    """Stands for Google Cloud: keeps what it is given."""

    requests: list[Any] = field(default_factory=list)
    staged: dict[str, bytes] = field(default_factory=dict)

    def Create(self, request: Any) -> NoReturn:
        self.requests.append(request)
        raise Submitted

    def stage(self, folder: str, name: str, content: BinaryIO, *_: Any, **__: Any) -> None:
        self.staged[f"{folder}/{name}"] = content.read()

    def job(self, build: Callable[[], Any]) -> Job:
        """The one job that `build` submits."""
        self.requests, self.staged = [], {}
        with pytest.raises(Submitted):
            build()
        [request] = self.requests
        [folder] = {uri.rpartition("/")[0] for uri in self.staged}
        return Job(request, folder, {uri.rpartition("/")[2]: c for uri, c in self.staged.items()})


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()

    class Client:
        """Of Dataflow's API."""

        def __init__(self, **_: Any) -> None:
            self.projects_locations_jobs = made

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("the network is out of bounds")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(apiclient.dataflow, "DataflowV1b3", Client)
        patch.setattr(apiclient, "get_service_credentials", lambda _: None)
        patch.setattr(apiclient, "create_storage_client", lambda *_: None)
        patch.setattr(
            apiclient.DataflowApplicationClient,
            "stage_file",
            lambda _, *args, **named: made.stage(*args, **named),
        )
        # It asks whether the bucket keeps what is deleted, to warn of the bill.
        patch.setattr(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda *_: None)
        # `pip freeze`, half a second each time.
        frozen = SimpleNamespace(check_output=lambda *_: b"")
        patch.setattr(stager, "subprocess", frozen)
        # TFX must not take itself for missing on the workers and pack itself, 45 MB a node.
        patch.setattr(dependency_utils, "build_ephemeral_package", refuse)
        yield made


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    path.write_text(
        "a,b,y\n" + "".join(f"{i},{i % 7},{'no' if i % 9 else 'yes'}\n" for i in range(90))
    )
    return str(path)


@pytest.fixture(scope="module")
def config(table: str) -> Config:
    return parse_config(
        {
            "name": "fraud",
            "data": {"path": table, "label": "y", "positive": "yes"},
            "rebalance": {"method": "smote"},
            "beam": {"default": DATAFLOW, "nodes": OWN},
            "kubeflow": {
                "image": f"{IMAGES}/tfx-imbalance:0.1.0",
                "pipeline_root": "gs://my-bucket/root",
                "data_path": "gs://my-bucket/rows.csv",
                "serving_dir": "gs://my-bucket/serving",
            },
        },
        "c.yaml",
    )


@pytest.fixture(scope="module")
def options(config: Config) -> dict[str, list[str]]:
    """Node -> what its container hands to Beam on Kubeflow."""
    found: dict[str, list[str]] = {}
    executors = compile_config(config).pipeline_spec["deploymentSpec"]["executors"]
    with pytest.MonkeyPatch.context() as patch:
        for label, executor in executors.items():
            node = label.removesuffix("_executor")
            patch.setattr(
                kubeflow_entrypoint,
                "run_executor",
                lambda *args, node=node: found.update({node: args[-1]}),
            )
            arguments = [a.replace("{{$}}", "{}") for a in executor["container"]["args"]]
            assert kubeflow_entrypoint.main(arguments) == 0
    return found


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """100 rows of train."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "Split-train").mkdir()
    rng = np.random.default_rng(5)
    rows = {name: rng.normal(size=100).astype(np.float32) for name in "ab"}
    rows |= {"_row_id": np.arange(100), "y": np.repeat([b"no", b"yes"], [90, 10]).astype(object)}
    with tfrecord.Writer(str(folder / "Split-train" / "data_tfrecord-0.gz")) as writer:
        for frames in example_encoder.encode(rows, 100):
            writer.write(frames.buffer)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = artifact_utils.encode_split_names(["train"])
    return artifact


@pytest.fixture(scope="module")
def jobs(
    cloud: Cloud,
    options: dict[str, list[str]],
    examples: standard_artifacts.Examples,
    table: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Job]:
    """Graph -> its job: Rebalancer's, and the first that the two nodes before it submit."""

    def executor(kind: type[Any], node: str) -> Any:
        return kind(kind.Context(beam_pipeline_args=list(options[node])))

    def rebalanced(params: dict[str, Any], counts: dict[str, int]) -> None:
        rebalance(
            executor(Rebalancer, "Rebalancer")._make_beam_pipeline,
            [f"{examples.uri}/Split-train/data_tfrecord-0.gz"],
            "gs://my-bucket/root/Rebalancer/examples/1/Split-train",
            label="y",
            classes=list(counts),
            features=FEATURES,
            params=RebalanceParams(**params, seed=3),
            counts=counts,
        )

    def statistics() -> None:
        executor(StatisticsGen, "StatisticsGen").Do(
            {"examples": [examples]},
            {"statistics": [made_at(standard_artifacts.ExampleStatistics())]},
            {"stats_options_json": StatsOptions().to_json(), "exclude_splits": "[]"},
        )

    def ingested() -> None:
        executor(StratifiedExampleGen, "StratifiedExampleGen").Do(
            {},
            {"examples": [made_at(standard_artifacts.Examples())]},
            {"path": table, "params": '{"label": "y", "seed": 3}'},
        )

    def made_at(artifact: Any) -> Any:
        artifact.uri = str(tmp_path_factory.mktemp("made"))
        return artifact

    return {
        **{
            name: cloud.job(lambda given=given: rebalanced(*given))
            for name, given in GRAPHS.items()
        },
        "StatisticsGen": cloud.job(statistics),
        "StratifiedExampleGen": cloud.job(ingested),
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_the_graph_is_the_one_that_so_many_rows_call_for(jobs: dict[str, Job], name: str) -> None:
    given, counts = GRAPHS[name]
    expected = "cells" if counts is MANY else "place"
    assert way(counts, FEATURES, RebalanceParams(**given, seed=3)) == expected
    steps = [t.unique_name for t in jobs[name].graph.components.transforms.values()]
    has_cells = any(step.split("/")[0].endswith("Cell") for step in steps)
    assert has_cells == (expected == "cells")


def test_nodes_carry_their_options_the_default_ones_first(config: Config) -> None:
    facts = Facts(columns=("a", "b", "y"), context=RunContext(name="fraud", run_id="1"))
    pipeline = create_pipeline(config, facts, pipeline_root="/nowhere", serving_dir="/nowhere/s")
    found = {
        node.id: node.executor_spec.beam_pipeline_args
        for node in pipeline.components
        if isinstance(node, BaseBeamComponent)
    }
    assert found == {node: [*DATAFLOW, *OWN.get(node, [])] for node in BEAM_NODES}


def test_a_nodes_container_hands_its_options_to_beam(options: dict[str, list[str]]) -> None:
    assert {node: given for node, given in options.items() if given} == {
        node: [*DATAFLOW, *OWN.get(node, [])] for node in BEAM_NODES
    }


def test_a_node_can_stay_in_its_container(cloud: Cloud, options: dict[str, list[str]]) -> None:
    context = Rebalancer.Context(beam_pipeline_args=list(options["Evaluator"]))
    runner = Rebalancer(context)._make_beam_pipeline().runner
    assert type(runner).__name__ == "FnApiRunner"


@pytest.mark.parametrize("name", [*GRAPHS, "StatisticsGen", "StratifiedExampleGen"])
def test_the_job_is_what_the_options_ask_for(jobs: dict[str, Job], name: str) -> None:
    job = jobs[name]
    assert (job.request.projectId, job.request.location) == ("my-project", "europe-west4")
    assert job.request.job.type.name == "JOB_TYPE_BATCH"
    environment = job.environment
    assert environment["serviceAccountEmail"] == ACCOUNT
    assert environment["tempStoragePrefix"].startswith("storage.googleapis.com/my-bucket/dataflow/")
    assert "use_runner_v2" in environment["experiments"]
    [pool] = environment["workerPools"]
    most, machine = (20, "n2-highmem-8") if name in GRAPHS else (8, "n2-highmem-4")
    assert (pool["autoscalingSettings"]["maxNumWorkers"], pool["machineType"]) == (most, machine)
    assert pool["workerHarnessContainerImage"] == IMAGE
    [harness] = pool["sdkHarnessContainerImages"]
    assert harness["containerImage"] == IMAGE
    assert harness["useSingleCorePerContainer"] is True  # so one Python process for each core


@pytest.mark.parametrize("name", [*GRAPHS, "StatisticsGen", "StratifiedExampleGen"])
def test_nothing_is_sent_to_the_workers_that_would_have_to_be_installed(
    jobs: dict[str, Job], name: str
) -> None:
    job = jobs[name]
    [pool] = job.environment["workerPools"]
    assert {package["name"] for package in pool["packages"]} == STAGED
    assert set(job.staged) == STAGED | {"pipeline.pb"}
    assert job.folder.startswith("gs://my-bucket/dataflow/beamapp-")
    [environment] = job.graph.components.environments.values()
    assert environment.urn == "beam:env:docker:v1"
    docker = beam_pb.DockerPayload.FromString(environment.payload)
    assert docker.container_image == IMAGE
    urls = [
        beam_pb.ArtifactUrlPayload.FromString(each.type_payload).url
        for each in environment.dependencies
    ]
    assert sorted(urls) == [f"{job.folder}/{each}" for each in sorted(STAGED)]
    given = job.environment["sdkPipelineOptions"]["options"]
    assert not {"extra_packages", "setup_file", "requirements_file"} & set(given)
    assert given["pickle_library"] in ("cloudpickle", "default")


@pytest.mark.parametrize("name", [*GRAPHS, "StatisticsGen", "StratifiedExampleGen"])
def test_no_step_needs_the_module_that_submits(jobs: dict[str, Job], name: str) -> None:
    pickles = list(jobs[name].pickles())
    assert len(pickles) > 10
    assert not [text for text in pickles if "__main__" in text or "test_dataflow" in text]


WORKER = """
import os, sys
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.runners.worker import sdk_worker_main
from apache_beam.transforms.ptransform import PTransform

for folder in sys.argv[1:]:
    with open(f"{folder}/options.json") as file:
        options = file.read()
    sdk_worker_main.create_harness(
        {
            "PIPELINE_OPTIONS": options,
            "SEMI_PERSISTENT_DIRECTORY": folder,
            "CONTROL_API_SERVICE_DESCRIPTOR": "",
        },
        dry_run=True,
    )
    with open(f"{folder}/staged/pipeline.pb", "rb") as file:
        parts = beam_runner_api_pb2.Pipeline.FromString(file.read()).components
    context = PipelineContext(parts)
    for each in parts.coders:
        context.coders.get_by_id(each)
    for each in parts.windowing_strategies:
        context.windowing_strategies.get_by_id(each)
    steps = [PTransform.from_runner_api(each, context) for each in parts.transforms.values()]
    print(sum(type(step).__name__ == "ParDo" for step in steps))
"""
"""What boot starts in Dataflow's container, as far as it goes without a runner."""


def test_a_worker_loads_every_step_of_ours(jobs: dict[str, Job], tmp_path: Path) -> None:
    ours = [job for name, job in jobs.items() if name != "StatisticsGen"]
    for i, job in enumerate(ours):
        staged = tmp_path / str(i) / "staged"
        staged.mkdir(parents=True)
        for name, content in job.staged.items():
            (staged / name).write_bytes(content)
        given = job.environment["sdkPipelineOptions"]
        (staged.parent / "options.json").write_text(json.dumps(given))
    done = subprocess.run(
        [sys.executable, "-I", "-c", WORKER, *(str(tmp_path / str(i)) for i in range(len(ours)))],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    steps = [int(line) for line in done.stdout.splitlines()]
    urns = [[t.spec.urn for t in job.graph.components.transforms.values()] for job in ours]
    assert steps == [found.count("beam:transform:pardo:v1") for found in urns]
    assert min(steps) > 5


def test_a_workers_user_error_is_told_in_its_own_words() -> None:
    """As DataflowRunner quotes the job's log: the latest traceback of a worker."""
    worker = (
        "Error message from worker: generic::unknown: Traceback (most recent call last):\n"
        '  File "apache_beam/runners/common.py", line 1498, in process\n'
        "tfx_imbalance.components.errors.UserError: train: 3 rows have no label "
        "[while running 'Observe-ptransform-36']\n"
    )
    error = DataflowRuntimeException(
        f"Dataflow pipeline failed. State: FAILED, Error:\n{worker}", None
    )
    found = recognise(error)
    assert isinstance(found, UserError)
    assert str(found) == "train: 3 rows have no label"


def test_the_documents_name_these_options_and_the_beam_that_is_installed_in_the_image() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    [block] = [
        b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "DataflowRunner" in b
    ]
    assert yaml.safe_load(block)["beam"] == {"default": DATAFLOW, "nodes": OWN}
    lock = (ROOT / "requirements" / "image-cpu.txt").read_text(encoding="utf-8")
    [version] = re.findall(r"^apache-beam==([\d.]+)", lock, re.MULTILINE)
    assert re.findall(r"^FROM apache/beam_python3\.13_sdk:(\S+)", text, re.MULTILINE) == [version]
    assert beam.__version__ == version
