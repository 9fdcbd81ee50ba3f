"""The same compiled pipeline on Vertex AI Pipelines.

The request is built and sent with google-cloud-aiplatform's service client. Its PipelineJob does
the same but makes the bucket of the pipeline root where it finds none, so a slip of the pen costs.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ...components.errors import UserError
from .submit import Job, Say

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest

REQUEST_SECONDS = 60.0
_JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")


@dataclass(frozen=True)
class Place:
    """Where in Google Cloud: project, location such as europe-west4, and what a GPU is called.

    Attributes:
      accelerator: Vertex's name for what Kubernetes calls nvidia.com/gpu: NVIDIA_TESLA_T4.
    """

    project: str | None
    location: str | None
    accelerator: str | None = None

    def check(self) -> None:
        """Checks that both are given.

        Raises:
          UserError: project or location is missing.
        """
        wrong = []
        if not self.project:
            wrong.append("--project: missing; give it or set $GOOGLE_CLOUD_PROJECT")
        if not self.location:
            wrong.append(
                "--location: missing; give it or set $GOOGLE_CLOUD_REGION, such as europe-west4"
            )
        if wrong:
            raise UserError(*wrong)


def build_request(
    job: Job, place: Place, now: datetime | None = None
) -> "CreatePipelineJobRequest":
    """The request that starts `job`; nothing is asked of Google Cloud for it.

    Raises:
      UserError: project, location or accelerator is not given, or the pipeline root is not on
        Google Cloud Storage.
    """
    from google.cloud.aiplatform_v1 import types

    place.check()
    if wrong := list(_wrong(job, place)):
        raise UserError(*wrong)
    now = now or datetime.now(timezone.utc)
    return types.CreatePipelineJobRequest(
        parent=f"projects/{place.project}/locations/{place.location}",
        pipeline_job_id=_job_id(job.version, now),
        pipeline_job=types.PipelineJob(
            display_name=job.version,
            pipeline_spec=_fitted(job.spec, place.accelerator),
            runtime_config=types.PipelineJob.RuntimeConfig(
                gcs_output_directory=_root(job), parameter_values=job.parameters
            ),
            service_account=job.service_account or "",
            labels={"tfx-imbalance": job.version[-63:].strip("-")},
        ),
    )


def submit(job: Job, place: Place, *, dry_run: bool, say: Say, platform: bool = False) -> None:
    """Starts `job` on Vertex AI Pipelines with the application default credentials.

    Args:
      platform: the compiled pipeline has a platform spec, which Vertex has no use for.

    Raises:
      UserError: as `build_request`; there are no credentials, or Vertex cannot be reached or
        refuses.
    """
    request = build_request(job, place)
    name = f"{request.parent}/pipelineJobs/{request.pipeline_job_id}"
    if platform:
        say("left out: secrets, node selectors and tolerations are Kubernetes'")
    given = "".join(f", {k}={v!r}" for k, v in job.parameters.items())
    what = f"{name} (root {_root(job)}{given})"
    if dry_run:
        say(f"{what}: would be started")
        say("dry run: nothing was changed")
        return
    _send(request, place)
    say(
        f"{what}: started, https://console.cloud.google.com/vertex-ai/locations/{place.location}"
        f"/pipelines/runs/{request.pipeline_job_id}?project={place.project}"
    )


def _send(request: "CreatePipelineJobRequest", place: Place) -> None:
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.aiplatform_v1 import PipelineServiceClient

    where = f"Vertex AI, {request.parent}"
    try:
        PipelineServiceClient(
            client_options={"api_endpoint": f"{place.location}-aiplatform.googleapis.com"}
        ).create_pipeline_job(request, timeout=REQUEST_SECONDS)
    except (auth.GoogleAuthError, api.Unauthenticated) as error:
        raise UserError(
            f"{where}: not let in: {_line(error)}; run `gcloud auth application-default login` or "
            "set $GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    except api.PermissionDenied as error:
        raise UserError(
            f"{where}: forbidden: {_line(error)}; the account needs the role Vertex AI User and "
            "Service Account User on the job's own account"
        ) from None
    except (api.DeadlineExceeded, api.ServiceUnavailable, api.RetryError) as error:
        raise UserError(
            f"{where}: no answer: {_line(error)}; see --location, and before another try whether "
            f"{request.pipeline_job_id} has been started all the same"
        ) from None
    except api.GoogleAPICallError as error:
        raise UserError(f"{where}: refused: {_line(error)}") from None


def _wrong(job: Job, place: Place) -> Iterator[str]:
    if not _root(job).startswith("gs://"):
        yield (
            f"kubeflow.pipeline_root: found {_root(job)!r}; Vertex AI keeps artifacts in gs:// "
            "only: give --param pipeline_root=gs://bucket/path"
        )
    if not place.accelerator and any("/" in a["type"] for a in _accelerators(job.spec)):
        yield (
            "--accelerator: missing; the config asks for a Kubernetes device, name the GPU as "
            "Vertex AI does, such as NVIDIA_TESLA_T4"
        )


def _root(job: Job) -> str:
    return job.pipeline_root or str(job.spec.get("defaultPipelineRoot", ""))


def _accelerators(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The accelerators of a spec's containers, as they stand in it."""
    containers = [
        executor.get("container", {})
        for executor in spec.get("deploymentSpec", {}).get("executors", {}).values()
    ]
    return [
        c["resources"]["accelerator"] for c in containers if "accelerator" in c.get("resources", {})
    ]


def _fitted(spec: dict[str, Any], accelerator: str | None) -> dict[str, Any]:
    spec = copy.deepcopy(spec)
    for found in _accelerators(spec):
        found["type"] = accelerator or found["type"]
    return spec


def _job_id(version: str, now: datetime) -> str:
    job_id = f"{version}-{now:%Y%m%d%H%M%S}"
    job_id = job_id if job_id[0].isalpha() else f"p-{job_id}"
    assert _JOB_ID.fullmatch(job_id), job_id
    return job_id


def _line(error: Exception) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    return text if len(text) <= 300 else text[:297] + "..."
