"""What a learner computes on: every visible GPU, else the CPU; of all workers of TF_CONFIG."""

import functools
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from .. import progress
from ..errors import UserError

Choice = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Cluster:
    """This process among those that train one model together.

    Attributes:
      workers: how many.
      chief: whether it is the one that writes.
    """

    workers: int = 1
    chief: bool = True

    @classmethod
    def of_environment(cls) -> "Cluster":
        """As TF_CONFIG says; alone where it is not set.

        Raises:
          UserError: TF_CONFIG is no JSON, or names tasks other than a chief and workers.
        """
        text = os.environ.get("TF_CONFIG") or "{}"
        try:
            config = json.loads(text)
            sizes = {kind: len(at) for kind, at in config.get("cluster", {}).items()}
            task = config.get("task", {})
            kind, index = task.get("type", "worker"), int(task.get("index", 0))
        except (AttributeError, TypeError, ValueError):
            raise UserError(
                f"TF_CONFIG: found {text!r}; expected JSON with the maps cluster and task"
            ) from None
        if sum(sizes.values()) <= 1:
            return cls()
        if strange := {*sizes, kind} - {"chief", "worker"}:
            raise UserError(
                f"TF_CONFIG: found the task type {min(strange)!r}; expected chief and worker only, "
                "as all of them train in step"
            )
        return cls(sum(sizes.values()), kind == "chief" or ("chief" not in sizes and index == 0))


@dataclass(frozen=True)
class Devices:
    """Where and with which precision to compute.

    Attributes:
      strategy: the variables live and the steps run under it.
      policy: Keras dtype policy, 'float32', 'mixed_bfloat16' or 'mixed_float16'.
      description: for people, such as '2 x NVIDIA H100'.
      jit: whether XLA compiles the training step.
      cluster: the processes that compute together.
    """

    strategy: tf.distribute.Strategy
    policy: str
    description: str
    jit: bool = False
    cluster: Cluster = Cluster()

    @property
    def mixed_precision(self) -> bool:
        """Whether some of the arithmetic is done in 16 bits."""
        return self.policy != "float32"

    def shared(self, rows: int) -> int:
        """`rows` a step, or so few fewer that all replicas have equally many."""
        replicas = self.strategy.num_replicas_in_sync
        return max(rows // replicas, 1) * replicas


def visible_devices(mixed_precision: Choice = "auto", jit_compile: Choice = "off") -> Devices:
    """All visible GPUs, mirrored if there are several; the CPU if there is none.

    Where TF_CONFIG names several workers, those of all of them: then this must be called before
    TensorFlow computes anything in the process, and waits for the others.

    Args:
      mixed_precision: `auto` mixes where every card has tensor cores for it (compute capability
        7.0).
      jit_compile: XLA for the training step; `auto` on one GPU on which XLA can compile. Never
        with several devices, whose sums XLA cannot hold.

    Raises:
      UserError: TF_CONFIG cannot be used, or came too late.
    """
    cluster = Cluster.of_environment()
    gpus = tf.config.list_physical_devices("GPU")
    with suppress(RuntimeError):  # already in use by this process: it stays as it was set
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    strategy = _strategy(cluster, len(gpus))
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min((d.get("compute_capability", (0, 0)) for d in details), default=(0, 0))
    here = described()
    return Devices(
        strategy,
        _policy(mixed_precision, bool(gpus), capability),
        f"{cluster.workers} workers, each {here}" if cluster.workers > 1 else here,
        _jit(jit_compile, len(gpus), cluster),
        cluster,
    )


def _strategy(cluster: Cluster, gpus: int) -> tf.distribute.Strategy:
    if cluster.workers > 1:
        return _of_workers()
    return tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy()


@functools.cache
def _of_workers() -> tf.distribute.Strategy:
    """One for the life of the process, since it starts a server."""
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            "TF_CONFIG: TensorFlow has computed in this process before its workers could meet; "
            f"run Trainer in a process of its own, or unset TF_CONFIG ({error})"
        ) from error


def _policy(mixed_precision: Choice, has_gpu: bool, capability: tuple[int, int]) -> str:
    if mixed_precision == "off" or (mixed_precision == "auto" and capability < (7, 0)):
        return "float32"
    # bfloat16 has float32's range, so that it needs no loss scaling; cards before 8.0 lack it.
    return "mixed_float16" if has_gpu and capability < (8, 0) else "mixed_bfloat16"


def _jit(asked: Choice, gpus: int, cluster: Cluster) -> bool:
    if asked == "off" or (asked == "auto" and not gpus):
        return False
    if gpus > 1 or cluster.workers > 1:
        if asked == "on":
            progress.say("train.jit_compile: on is for one device; several train without XLA")
        return False
    if asked == "on":
        return True
    return _xla_compiles()


def _xla_compiles() -> bool:
    """Whether XLA finds what it needs on the GPU: CUDA's libdevice is often not installed."""

    @tf.function(jit_compile=True)
    def probe(x: tf.Tensor) -> tf.Tensor:
        return tf.exp(x)

    try:
        probe(tf.ones([2]))
    except tf.errors.OpError:
        return False
    return True


def cpu() -> str:
    """The processor, for people."""
    cores = os.cpu_count() or 1
    return f"CPU ({cores} core{'s' if cores > 1 else ''})"


def described() -> str:
    """The GPUs that this process sees, else the processor, for people."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return cpu()
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    gpu_names = [d.get("device_name", "GPU") for d in details]
    counts = {name: gpu_names.count(name) for name in gpu_names}
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())
