"""Beam's worker pool: the environment EXTERNAL of a Flink or Spark cluster.

    python -m tfx_imbalance.pipeline.runners.beam_workers PORT

It serves this machine or, as a sidecar, its own pod. As
`apache_beam.runners.worker.worker_pool_main`, but:
- TaskManagers number their workers alike, so that one which closes its own would close another's
  (Beam knows a worker by that number): here a worker ends when its runner hangs up.
- Workers get the pipeline's options (the cache for side inputs among them) and log to the runner,
  as in Beam's containers, and nothing is left in a pipe that nobody reads.
- They are forked from a process that has imported what takes long: each job starts its own.
Staged files are not fetched: what a pipeline needs is installed for this Python.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

import grpc
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from apache_beam.utils import byte_limited_queue, thread_pool_executor
from google.protobuf import json_format, text_format

TIMEOUT = 60  # seconds until the runner must have told what a worker is for
PRELOAD = [
    "apache_beam.runners.worker.sdk_worker_main",
    "tensorflow_data_validation",
    "tfx_imbalance.components.example_gen.executor",
    "tfx_imbalance.components.rebalancer.executor",
]


_FORKS = multiprocessing.get_context("forkserver")


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts a worker process for each request."""

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts one; the answer has the reason where that failed."""
        try:
            _FORKS.Process(target=work, args=(_environment(request),), daemon=True).start()
        except (OSError, grpc.RpcError) as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=str(error))
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Leaves it to the worker, which ends as its runner hangs up."""
        return beam_fn_api_pb2.StopWorkerResponse()


def work(environment: dict[str, str]) -> None:
    """A worker's life, in a process of its own."""
    from apache_beam.runners.worker import data_plane, sdk_worker_main, worker_id_interceptor

    data_plane.ByteLimitedQueue = _of_any_size
    os.environ.update(environment)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Read from the environment as the module was imported, before the fork.
    worker_id_interceptor.WorkerIdInterceptor._worker_id = environment["WORKER_ID"]
    sdk_worker_main.main([])


def _of_any_size(maxsize: int, maxbytes: int) -> byte_limited_queue.ByteLimitedQueue:
    """A queue between worker and runner, bounded by its length alone.

    Beam's Flink runner 2.62 takes what a bundle gives when the bundle has ended, but 100 messages.
    An SDK of that time kept the rest; this one waits for room from 100 MB on, which never comes.
    """
    return byte_limited_queue.ByteLimitedQueue(maxsize)


def _environment(request: beam_fn_api_pb2.StartWorkerRequest) -> dict[str, str]:
    with grpc.insecure_channel(request.provision_endpoint.url) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = service.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=(("worker_id", request.worker_id),),
            timeout=TIMEOUT,
            wait_for_ready=True,
        ).info
    return {
        "WORKER_ID": request.worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(request.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": _descriptor(request.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def _descriptor(endpoint: endpoints_pb2.ApiServiceDescriptor) -> str:
    return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=endpoint.url))


def main() -> None:
    """Serves until it is ended."""
    _FORKS.set_forkserver_preload(PRELOAD)
    server = grpc.server(thread_pool_executor.shared_unbounded_instance())
    server.add_insecure_port(f"localhost:{int(sys.argv[1])}")
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(), server)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
