"""What a learner computes on: every visible GPU, else the CPU."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf


@dataclass(frozen=True)
class Devices:
    """Where and with which precision to compute.

    Attributes:
      strategy: the variables live and the steps run under it.
      policy: Keras dtype policy, 'float32', 'mixed_bfloat16' or 'mixed_float16'.
      description: for people, such as '2 x NVIDIA H100'.
    """

    strategy: tf.distribute.Strategy
    policy: str
    description: str

    @property
    def mixed_precision(self) -> bool:
        """Whether some of the arithmetic is done in 16 bits."""
        return self.policy != "float32"


def visible_devices(mixed_precision: Literal["auto", "on", "off"] = "auto") -> Devices:
    """All visible GPUs, mirrored if there are several; the CPU if there is none.

    `auto` mixes precisions where every card has tensor cores for it (compute capability 7.0).
    """
    gpus = tf.config.list_physical_devices("GPU")
    with suppress(RuntimeError):  # already in use by this process: it stays as it was set
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capability = min((d.get("compute_capability", (0, 0)) for d in details), default=(0, 0))
    return Devices(
        tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy(),
        _policy(mixed_precision, bool(gpus), capability),
        _description([d.get("device_name", "GPU") for d in details]),
    )


def _policy(
    mixed_precision: Literal["auto", "on", "off"], has_gpu: bool, capability: tuple[int, int]
) -> str:
    if mixed_precision == "off" or (mixed_precision == "auto" and capability < (7, 0)):
        return "float32"
    # bfloat16 has float32's range, so that it needs no loss scaling; cards before 8.0 lack it.
    return "mixed_float16" if has_gpu and capability < (8, 0) else "mixed_bfloat16"


def _description(gpu_names: list[str]) -> str:
    if not gpu_names:
        cores = os.cpu_count() or 1
        return f"CPU ({cores} core{'s' if cores > 1 else ''})"
    counts = {name: gpu_names.count(name) for name in gpu_names}
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())
