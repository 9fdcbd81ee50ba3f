"""Requests to Vertex AI Pipelines: built and sent without a network."""

import copy
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.pipeline.test_submit import SPEC, make_job, one_line_error
from tfx_imbalance.pipeline.runners import vertex
from tfx_imbalance.pipeline.runners.submit import Job
from tfx_imbalance.pipeline.runners.vertex import Place, build_request

pytest.importorskip("google.cloud.aiplatform_v1")

PLACE = Place("my-project", "europe-west4")
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=timezone.utc)


def gpu_spec() -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    container = spec["deploymentSpec"]["executors"]["a_executor"]["container"]
    container["resources"] = {
        "cpuLimit": 4.0,
        "memoryLimit": 16.0,
        "accelerator": {"type": "nvidia.com/gpu", "count": "1"},
    }
    return spec


def on_vertex(**changes: Any) -> Job:
    return make_job(**{"pipeline_root": "gs://bucket/root", "parameters": {"span": "7"}, **changes})


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_request_is_the_one_that_the_sdk_would_build(tmp_path: Path) -> None:
    """The SDK's own PipelineJob, made without credentials, is the oracle."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform
    from google.protobuf import json_format

    job = on_vertex()
    template = tmp_path / "pipeline.json"
    template.write_text(json.dumps(job.spec), encoding="utf-8")
    theirs = aiplatform.PipelineJob(
        display_name=job.version,
        template_path=str(template),
        job_id=f"{job.version}-20261125030000",
        pipeline_root="gs://bucket/root",
        parameter_values={"span": "7"},
        labels={"tfx-imbalance": job.version},
        project=PLACE.project,
        location=PLACE.location,
        credentials=AnonymousCredentials(),
    )
    ours = build_request(job, PLACE, NOW)
    expected = json_format.MessageToDict(theirs._gca_resource._pb)
    found = json_format.MessageToDict(ours.pipeline_job._pb)
    assert found.pop("serviceAccount") == "runner"  # which the SDK adds on submission
    assert found == expected
    assert ours.pipeline_job_id == theirs.job_id
    assert ours.parent == theirs._parent


def test_spec_goes_along_unchanged_but_for_the_name_of_the_gpu() -> None:
    from google.protobuf import json_format

    job = on_vertex(spec=gpu_spec())
    request = build_request(job, Place("p", "l", "NVIDIA_TESLA_T4"), NOW)
    spec = json_format.MessageToDict(request.pipeline_job._pb)["pipelineSpec"]
    container = spec["deploymentSpec"]["executors"]["a_executor"]["container"]
    assert container["resources"]["accelerator"] == {"type": "NVIDIA_TESLA_T4", "count": "1"}
    container["resources"]["accelerator"]["type"] = "nvidia.com/gpu"
    assert spec == job.spec == gpu_spec()


def test_pipeline_named_by_a_number_gets_a_job_id_that_vertex_takes() -> None:
    request = build_request(on_vertex(version="2024-abc"), PLACE, NOW)
    assert request.pipeline_job_id == "p-2024-abc-20261125030000"


@pytest.mark.parametrize(
    ("place", "changes", "said"),
    [
        (Place(None, "l"), {}, "--project: missing"),
        (Place("p", None), {}, "--location: missing"),
        (PLACE, {"pipeline_root": None}, "found 's3://bucket/root'"),
        (PLACE, {"spec": gpu_spec()}, "--accelerator: missing"),
    ],
)
def test_what_is_missing_is_told(place: Place, changes: dict[str, Any], said: str) -> None:
    with one_line_error(said):
        build_request(on_vertex(**changes), place)


class Client:
    """Stands for the service; keeps what it is asked."""

    asked: ClassVar[list[Any]] = []
    failure: ClassVar[Exception | None] = None

    def __init__(self, client_options: dict[str, str]) -> None:
        assert client_options == {"api_endpoint": "europe-west4-aiplatform.googleapis.com"}

    def create_pipeline_job(self, request: Any, timeout: float) -> None:
        Client.asked.append(request)
        assert 0 < timeout <= 60
        if Client.failure:
            raise Client.failure


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    from google.cloud import aiplatform_v1

    monkeypatch.setattr(aiplatform_v1, "PipelineServiceClient", Client)
    monkeypatch.setattr(Client, "asked", [])
    monkeypatch.setattr(Client, "failure", None)
    return Client


def test_submit_sends_the_request_and_names_its_page(client: type[Client]) -> None:
    said: list[str] = []
    vertex.submit(on_vertex(), PLACE, dry_run=False, say=said.append, platform=True)
    [request] = client.asked
    assert request.pipeline_job.runtime_config.parameter_values["span"] == "7"
    assert "left out: secrets, node selectors and tolerations" in said[0]
    assert f"runs/{request.pipeline_job_id}?project=my-project" in said[1]


def test_dry_run_sends_nothing(client: type[Client]) -> None:
    said: list[str] = []
    vertex.submit(on_vertex(), PLACE, dry_run=True, say=said.append)
    assert client.asked == []
    assert "would be started" in said[0]


def test_refusals_are_one_line(client: type[Client], monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    for failure, said in (
        (auth.DefaultCredentialsError("no\ncredentials"), "gcloud auth application-default login"),
        (api.Unauthenticated("expired"), "not let in: expired"),
        (api.PermissionDenied("no"), "needs the role Vertex AI User"),
        (api.DeadlineExceeded("slow"), "started all the same"),
        (api.ServiceUnavailable("dns"), "see --location"),
        (api.InvalidArgument("bad\nspec"), "refused: bad spec"),
    ):
        monkeypatch.setattr(Client, "failure", failure)
        with one_line_error("Vertex AI, projects/my-project/locations/europe-west4", said):
            vertex.submit(on_vertex(), PLACE, dry_run=False, say=print)
