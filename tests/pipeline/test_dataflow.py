"""What Dataflow would be asked for: the options' way to it, and the job that Beam makes of them.

Google Cloud is not in reach. Beam's own DataflowRunner translates the graphs of our nodes; of its
client only the ends are replaced that would use the network, and that is blocked besides.
"""

import base64
import bz2
import gzip
import json
import pickletools
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pytest
import yaml
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.portability.api import beam_runner_api_pb2 as beam_pb
from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.utils.retry import PermanentException
from tfx.components.statistics_gen.executor import Executor as StatisticsGen
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from tfx_imbalance.components import example_encoder, tfrecord
from tfx_imbalance.components.errors import UserError, recognise
from tfx_imbalance.components.rebalancer.executor import Executor as Rebalancer
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import Method, RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance
from tfx_imbalance.components.reporter.params import RunContext
from tfx_imbalance.pipeline.config import Config, load_config, parse_config
from tfx_imbalance.pipeline.pipeline import Facts, create_pipeline
from tfx_imbalance.pipeline.runners.kubeflow import compile_config

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "kubeflow" / "bank.yaml"
IMAGE = "europe-west4-docker.pkg.dev/my-project/images/tfx-imbalance-dataflow:0.1.0"
ACCOUNT = "dataflow-worker@my-project.iam.gserviceaccount.com"
BEAM = {
    "default": [
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=europe-west4",
        "--temp_location=gs://my-bucket/dataflow/tmp",
        "--staging_location=gs://my-bucket/dataflow/staging",
        f"--service_account_email={ACCOUNT}",
        f"--sdk_container_image={IMAGE}",
        "--max_num_workers=8",
        "--machine_type=n2-highmem-4",
    ],
    "nodes": {
        "Rebalancer": ["--max_num_workers=20", "--machine_type=n2-highmem-8"],
        "Evaluator": ["--runner=FnApiRunner"],
    },
}
BEAM_NODES = {"StratifiedExampleGen", "StatisticsGen", "Transform", "Rebalancer", "Evaluator"}
STAGED = {"pickled_main_session", "submission_environment_dependencies.txt"}
"""Of Beam's own: its registries of coders and types, and `pip freeze` for the worker's log."""
FEATURES = Features({"a": "float", "b": "float"})
FEW, MANY = {"no": 90, "yes": 10}, {"no": 900_000_000, "yes": 100_000_000}
GRAPHS: list[tuple[Method, dict[str, int]]] = [
    ("over", FEW),
    ("smote", FEW),
    ("smote", MANY),
    ("tomek_links", FEW),
    ("edited_nearest_neighbours", MANY),
]
"""Methods with few rows, seen in one place, and with so many that they go by cells."""


class Submitted(PermanentException):
    """Raised in place of Dataflow's answer, since nothing would run the job."""


@dataclass
class Cloud:
    """Stands for Google Cloud.

    Attributes:
      requests: jobs that were submitted.
      staged: URI -> content of each file that was uploaded.
    """

    requests: list[Any] = field(default_factory=list)
    staged: dict[str, bytes] = field(default_factory=dict)

    def Create(self, request: Any) -> NoReturn:  # noqa: N802, as Dataflow's client has it
        self.requests.append(request)
        raise Submitted

    def stage_file(self, folder: str, name: str, content: BinaryIO, *_: Any, **__: Any) -> None:
        self.staged[f"{folder}/{name}"] = content.read()

    def job(self, build: Callable[[], Any]) -> "Job":
        """The job that `build` submits."""
        with pytest.raises(Submitted):
            build()
        request = self.requests.pop()
        assert not self.requests
        [(uri, content)] = [(u, c) for u, c in self.staged.items() if u.endswith("/pipeline.pb")]
        folder, _, _ = uri.rpartition("/")
        job = Job(request, folder, beam_pb.Pipeline.FromString(content), dict(self.staged))
        self.staged.clear()
        return job


@dataclass(frozen=True)
class Job:
    """A request, and the graph that it names; `folder` holds all that is staged."""

    request: Any
    folder: str
    pipeline: beam_pb.Pipeline
    staged: dict[str, bytes]

    @property
    def environment(self) -> Any:
        return self.request.job.environment

    @property
    def options(self) -> dict[str, Any]:
        found = {
            each["key"]: each["value"]
            for each in json.loads(apiclient.encoding.MessageToJson(self.environment))[
                "sdkPipelineOptions"
            ].items()
        } if False else json.loads(apiclient.encoding.MessageToJson(self.environment))
        return found["sdkPipelineOptions"]["options"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()

    class Client:
        """Of Dataflow's API."""

        def __init__(self, **_: Any) -> None:
            self.projects_locations_jobs = made

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a test that must not use the network does")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(apiclient.dataflow, "DataflowV1b3", Client)
        patch.setattr(apiclient, "get_service_credentials", lambda _: None)
        patch.setattr(apiclient, "create_storage_client", lambda *_: None)
        application = apiclient.DataflowApplicationClient
        patch.setattr(application, "stage_file", lambda _, *a, **k: made.stage_file(*a, **k))
        # It asks the bucket whether it keeps what is deleted, to warn of the bill.
        patch.setattr(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda *_: None)
        yield made


def dataflow_config() -> Config:
    """The demo for Kubeflow, on Google Cloud, with a Rebalancer."""
    kubeflow = {
        "image": "europe-west4-docker.pkg.dev/my-project/images/tfx-imbalance:0.1.0",
        **{"pipeline_root": "gs://my-bucket/root", "serving_dir": "gs://my-bucket/serving"},
        "data_path": "gs://my-bucket/bank.csv.gz",
    }
    sections = load_config(DEMO).model_dump(mode="json", exclude_unset=True)
    sections |= {"beam": BEAM, "kubeflow": kubeflow, "rebalance": {"method": "smote_nc"}}
    sections.pop("class_weights", None)
    return parse_config(sections, "c.yaml")


@pytest.fixture(scope="module")
def columns() -> list[str]:
    schema = (ROOT / "schemas").glob("bank*.pbtxt")
    return [str(path) for path in schema]
