import subprocess
import sys

import pytest
import tensorflow as tf

from tfx_imbalance.components.trainer import devices as devices_module
from tfx_imbalance.components.trainer.devices import visible_devices

MIRRORED = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tfx_imbalance.components.trainer.devices import Devices
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Task, learner
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams

rng = np.random.default_rng(0)
labels = (rng.random(512) < 0.25).astype(np.int32)
numbers = (rng.normal(size=(512, 2)) + labels[:, None]).astype(np.float32)
categories = ((labels + rng.integers(0, 2, 512)) % 3).astype(np.int32)[:, None]
rows = Rows(numbers, categories, labels, rng.exponential(size=512).astype(np.float32))
mlp = MlpParams(hidden=(8,), dropout=0, epochs=3, batch_size=64, bins=4)
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
logits = []
for strategy in (tf.distribute.get_strategy(), two):
    task = Task(
        (Feature("a", 2), Feature("c", 1, 3)),
        ["no", "yes"],
        np.array([0.5, 2.0]),
        TrainerParams(label="y", mlp=mlp),
        Devices(strategy, "float32", "test"),
        sys.argv[1],
    )
    fitted = learner("mlp")(rows, rows, task)
    assert len(fitted.history) == 3
    logits.append(fitted.scorer({"a": numbers, "c": categories}).numpy())
np.testing.assert_allclose(*logits, atol=1e-4)
assert np.ptp(logits[0]) > 0.5
print("equal")
"""


def test_two_devices_learn_what_one_does(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip().endswith("equal"), done.stderr


def test_without_a_gpu_the_cpu_computes_in_float32(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(devices_module.os, "cpu_count", lambda: 2)
    found = visible_devices("auto")
    assert (found.description, found.policy, found.mixed_precision) == (
        "CPU (2 cores)",
        "float32",
        False,
    )
    assert visible_devices("on").policy == "mixed_bfloat16"


@pytest.mark.parametrize(
    ("capabilities", "asked", "policy"),
    [
        ([(9, 0)], "auto", "mixed_bfloat16"),
        ([(8, 0), (7, 5)], "auto", "mixed_float16"),
        ([(9, 0), (6, 1)], "auto", "float32"),
        ([(6, 1)], "on", "mixed_float16"),
        ([(9, 0)], "off", "float32"),
    ],
)
def test_precision_is_mixed_where_every_card_can(monkeypatch, capabilities, asked, policy):
    config = tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: list(capabilities))
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda gpu, on: None)
    monkeypatch.setattr(
        config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpu, "device_name": "Card"},
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    found = visible_devices(asked)
    assert found.policy == policy
    assert found.description == ("Card" if len(capabilities) == 1 else "2 x Card")
    assert (found.strategy == "mirrored") == (len(capabilities) > 1)


def test_memory_growth_that_comes_too_late_does_no_harm(monkeypatch):
    def late(gpu, on):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", late)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {})
    assert visible_devices().description == "GPU"
