import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.components.trainer.test_trainer_executor import Run, raw_examples
from tfx_imbalance.components import progress
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.trainer import devices as devices_module
from tfx_imbalance.components.trainer.devices import Cluster, cpu, visible_devices
from tfx_imbalance.components.trainer.params import MlpParams, TrainerParams
from tfx_imbalance.components.trainer.report import Training

MIRRORED = """
import dataclasses
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tfx_imbalance.components import progress
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

class Interrupted(Exception):
    pass

def hear(text):
    if text.startswith("epoch 3/3"):
        raise Interrupted

kept = dataclasses.replace(task, state_dir=sys.argv[1] + "/state")
try:
    with progress.shown_by(hear):
        learner("mlp")(rows, rows, kept)
except Interrupted:
    pass
fitted = learner("mlp")(rows, rows, kept)
assert fitted.resumed_epochs == 2
again = fitted.scorer({"a": numbers, "c": categories}).numpy()
np.testing.assert_allclose(again, logits[1], rtol=0, atol=1e-6)
print("equal")
"""


WORKER = """
import functools
import os
import pickle
import sys
from pathlib import Path

# Two workers prepare the folders of one execution.
os.makedirs = functools.partial(os.makedirs, exist_ok=True)
from tests.components.trainer.test_trainer_executor import Run
from tfx_imbalance.components import progress

data, params = pickle.loads(Path(sys.argv[1]).read_bytes())
run = Run(data, Path(sys.argv[2]), params).give_imbalance(data)
if os.environ["CHIEF"] == "no":
    from tfx_imbalance.components.trainer.executor import Executor
    Run.do.__globals__["read_report"] = lambda *ignored: None

def hear(text):
    if text.startswith(os.environ["STOP"]):
        sys.exit(9)

with progress.shown_by(hear):
    run.do()
"""


@pytest.fixture
def workers(tmp_path):
    """workers(data, params) trains in two processes; gives the folder of each one's outputs.

    With `stop`, both of them end when one says that.
    """

    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            return probe.getsockname()[1]

    def run(data, params, stop: str = "no such line") -> list[Path]:
        given = SimpleNamespace(
            raw=data.raw, transformed=data.transformed, graph=data.graph, rows=data.rows
        )
        job = tmp_path / "job"
        job.write_bytes(pickle.dumps((given, params)))
        cluster = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
        folders = [tmp_path / "chief", tmp_path / "other"]
        started = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(job), str(folder)],
                env={
                    **os.environ,
                    "CHIEF": "no" if index else "yes",
                    "STOP": stop,
                    "TF_CONFIG": json.dumps(
                        {"cluster": cluster, "task": {"type": "worker", "index": index}}
                    ),
                },
                cwd=Path(__file__).parents[3],
                stderr=subprocess.PIPE,
                text=True,
            )
            for index, folder in enumerate(folders)
        ]
        for process in started:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == (0 if stop == "no such line" else 9), errors[-3000:]
        return folders

    return run


@pytest.mark.slow
def test_two_workers_learn_what_one_does_and_the_chief_writes(data, workers, tmp_path):
    mlp = MlpParams(hidden=(8,), dropout=0, epochs=2, bins=4, batch_size=64)
    params = TrainerParams(label="y", weight="w", mlp=mlp)
    workers(data, params, stop="epoch 2/2")
    chief, other = workers(data, params)
    alone = Run(data, tmp_path / "alone", params).give_imbalance(data).do()
    with open(chief / "report" / "report.json") as file:
        report = Training.model_validate_json(file.read())
    assert report.device == f"2 workers, each {cpu()}"
    assert report.resumed_epochs == 1
    losses = [[epoch.train_loss for epoch in one.history] for one in (report, alone)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    served = [
        tf.saved_model.load(str(folder / "model" / "Format-Serving")).signatures["serving_default"](
            examples=tf.constant(raw_examples(data))
        )["logits"]
        for folder in (chief, tmp_path / "alone")
    ]
    np.testing.assert_allclose(*served, atol=1e-3)
    assert not [
        path for path in other.rglob("*") if path.is_file() and "imbalance" not in str(path)
    ]


def tf_config(kind: str, index: int, **cluster: int) -> str:
    addresses = {k: [f"{k}{i}:1" for i in range(n)] for k, n in cluster.items()}
    return json.dumps({"cluster": addresses, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Cluster(1, True)),
        ("{}", Cluster(1, True)),
        (tf_config("chief", 0, chief=1), Cluster(1, True)),
        (tf_config("chief", 0, chief=1, worker=2), Cluster(3, True)),
        (tf_config("worker", 0, chief=1, worker=2), Cluster(3, False)),
        (tf_config("worker", 0, worker=2), Cluster(2, True)),
        (tf_config("worker", 1, worker=2), Cluster(2, False)),
    ],
)
def test_tf_config_says_who_writes(monkeypatch, text, expected):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert Cluster.of_environment() == expected


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "TF_CONFIG: found '{'; expected JSON"),
        ('{"cluster": 3}', "expected JSON with the maps cluster and task"),
        (tf_config("ps", 0, ps=1, worker=2), "the task type 'ps'"),
        (tf_config("evaluator", 0, chief=1, worker=2), "the task type 'evaluator'"),
    ],
)
def test_a_tf_config_of_another_sort_is_refused(monkeypatch, text, match):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=match):
        visible_devices()


def test_workers_that_meet_too_late_are_told_so(monkeypatch):
    tf.ones([])  # as if another node had run in this process
    monkeypatch.setenv("TF_CONFIG", tf_config("worker", 0, worker=2))
    with pytest.raises(UserError, match="run Trainer in a process of its own"):
        visible_devices()


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
    assert [visible_devices("off", jit).jit for jit in ("auto", "on", "off")] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("cards", [1, 2])
@pytest.mark.parametrize("asked", ["auto", "on", "off"])
@pytest.mark.parametrize("complete", [True, False])
def test_xla_is_for_one_card_on_which_it_compiles(monkeypatch, cards, asked, complete):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * cards)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: None)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {})
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    if not complete:

        def incomplete(function=None, **options):
            def call(*arguments):
                raise tf.errors.InternalError(None, None, "libdevice not found")

            return call if function else lambda function: call

        monkeypatch.setattr(tf, "function", incomplete)
    said: list[str] = []
    with progress.shown_by(said.append):
        jit = visible_devices("off", asked).jit
    assert jit == (cards == 1 and (asked == "on" or (asked == "auto" and complete)))
    assert bool(said) == (cards == 2 and asked == "on")


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
