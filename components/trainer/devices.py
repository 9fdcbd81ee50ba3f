"""What trains: every visible GPU, or the CPU."""

import os
from typing import Literal

import tensorflow as tf

_TENSOR_CORES = (7, 0)  # compute capability from which float16 is faster


def strategy() -> tf.distribute.Strategy:
    """MirroredStrategy over several GPUs (or logical CPUs, where they were configured)."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def use_mixed_precision(choice: Literal["auto", "on", "off"]) -> bool:
    """Whether to compute in float16: as chosen, or where every GPU has tensor cores."""
    if choice != "auto":
        return choice == "on"
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(gpus) and all(d.get("compute_capability", (0,)) >= _TENSOR_CORES for d in details)


def describe() -> str:
    """The devices in words, such as '2 x NVIDIA H100' or 'CPU (2 cores)'."""
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    if not names:
        return f"CPU ({os.cpu_count()} cores)"
    return names[0] if len(names) == 1 else f"{len(names)} x {names[0]}"
