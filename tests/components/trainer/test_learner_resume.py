"""An MLP's training that was killed ends where it would have ended without."""

import dataclasses
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.components.trainer.test_trainer_executor import Run
from tfx_imbalance.components import progress
from tfx_imbalance.components.trainer.devices import Devices, visible_devices
from tfx_imbalance.components.trainer.executor import STATE_FOLDER
from tfx_imbalance.components.trainer.input import Feature, Rows
from tfx_imbalance.components.trainer.learners import Fitted, Task, learner
from tfx_imbalance.components.trainer.learners.checkpoints import path_of
from tfx_imbalance.components.trainer.params import TrainerParams

MLP = {"hidden": [8], "embedding_units": 2, "bins": 4, "bin_units": 2, "epochs": 4}


class Interrupted(Exception):
    """Stands for what ends a process."""


def rows(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.25).astype(np.int32)
    numbers = (rng.normal(size=(n, 2)) + labels[:, None]).astype(np.float32)
    categories = ((labels + rng.integers(0, 2, n)) % 3).astype(np.int32)[:, None]
    return Rows(numbers, categories, labels, rng.exponential(size=n).astype(np.float32))


TRAIN, VAL = rows(640, 0), rows(200, 1)


def task(folder: Path, state: str | None = "state", policy: str = "float32", **mlp) -> Task:
    return Task(
        (Feature("a", 2), Feature("c", 1, 3)),
        ["no", "yes"],
        np.array([1.0, 3.0]),
        TrainerParams(label="y", seed=5, mlp={**MLP, **mlp}),
        Devices(visible_devices().strategy, policy, "test"),
        str(folder / "logs"),
        state and str(folder / state),
    )


def fit(this: Task, stop_at: str | None = None) -> Fitted:
    """Trains; the process "ends" as it says that an epoch is over, before its state is kept."""

    def hear(text: str) -> None:
        if stop_at and text.startswith(stop_at):
            raise Interrupted

    with progress.shown_by(hear):
        return learner("mlp")(TRAIN, VAL, this)


def scores(fitted: Fitted) -> np.ndarray:
    return np.asarray(fitted.scorer({"a": VAL.numbers, "c": VAL.categories}))


def history(fitted: Fitted) -> list[dict]:
    return [epoch.model_dump(exclude={"seconds"}) for epoch in fitted.history]


def states(this: Task) -> list[Path]:
    return sorted(Path(this.state_dir).glob("*.npz"))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tests.components.trainer.test_learner_resume as here

def hear(text):
    if text.startswith("epoch 3/4"):
        os.kill(os.getpid(), signal.SIGKILL)

with here.progress.shown_by(hear):
    here.learner("mlp")(here.TRAIN, here.VAL, here.task(Path(sys.argv[2])))
"""


def test_training_that_was_killed_ends_bit_for_bit_as_without(tmp_path):
    whole = fit(task(tmp_path, state=None))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(Path(__file__).parents[3]), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = fit(task(tmp_path))
    assert (whole.resumed_epochs, again.resumed_epochs) == (0, 2)
    np.testing.assert_array_equal(scores(again), scores(whole))
    assert history(again) == history(whole)
    assert again.best_epoch == whole.best_epoch


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "mixed_float16"},
        {"sampling": {"mode": "balanced_batches"}, "loss": {"name": "ldam"}},
    ],
    ids=str,
)
def test_every_way_of_training_goes_on_exactly(tmp_path, options):
    whole = fit(task(tmp_path, state=None, **options))
    with pytest.raises(Interrupted):
        fit(task(tmp_path, **options), stop_at="epoch 2/4")
    again = fit(task(tmp_path, **options))
    assert again.resumed_epochs == 1
    np.testing.assert_array_equal(scores(again), scores(whole))
    assert history(again) == history(whole)


def test_an_end_that_was_reached_is_not_trained_again(tmp_path):
    whole, said = fit(task(tmp_path)), []
    with progress.shown_by(said.append):
        again = learner("mlp")(TRAIN, VAL, task(tmp_path))
    assert again.resumed_epochs == 4
    assert not [text for text in said if text.startswith("epoch")]
    np.testing.assert_array_equal(scores(again), scores(whole))


def test_early_stopping_stays_stopped(tmp_path):
    options = {"learning_rate": 0.2, "epochs": 20, "patience": 1}
    whole = fit(task(tmp_path, **options))
    assert len(whole.history) < 20
    assert fit(task(tmp_path, **options)).resumed_epochs == len(whole.history)


def test_other_rows_parameters_or_weights_start_afresh(tmp_path):
    this = task(tmp_path)
    paths = [
        path_of(this, TRAIN, VAL),
        path_of(this, VAL, TRAIN),
        path_of(this, TRAIN, VAL, 64),
        path_of(this, TRAIN, VAL, np.zeros(3)),
        path_of(this, dataclasses.replace(TRAIN, labels=1 - TRAIN.labels), VAL),
        path_of(task(tmp_path, dropout=0.1), TRAIN, VAL),
        path_of(task(tmp_path, policy="mixed_bfloat16"), TRAIN, VAL),
        path_of(dataclasses.replace(this, class_weights=np.array([1.0, 2.0])), TRAIN, VAL),
        path_of(dataclasses.replace(this, classes=["yes", "no"]), TRAIN, VAL),
    ]
    assert len(set(paths)) == len(paths)
    assert path_of(task(tmp_path), rows(640, 0), rows(200, 1)) == paths[0]
    assert path_of(task(tmp_path, state=None), TRAIN, VAL) is None


@pytest.mark.parametrize("damage", [lambda content: content[:2000], lambda content: b""])
def test_a_damaged_state_is_said_and_not_used(tmp_path, damage):
    with pytest.raises(Interrupted):
        fit(task(tmp_path), stop_at="epoch 2/4")
    [state] = states(task(tmp_path))
    state.write_bytes(damage(state.read_bytes()))
    said: list[str] = []
    with progress.shown_by(said.append):
        again = learner("mlp")(TRAIN, VAL, task(tmp_path))
    assert again.resumed_epochs == 0
    assert "damaged" in said[0]


def test_tensorboard_has_the_earlier_epochs_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Interrupted):
        fit(task(tmp_path), stop_at="epoch 3/4")
    anew = dataclasses.replace(task(tmp_path), log_dir=str(tmp_path / "anew"))
    fit(anew)
    events = EventAccumulator(anew.log_dir).Reload()
    assert [event.step for event in events.Tensors("val/auc_pr")] == [1, 2, 3, 4]


def test_trainer_keeps_states_beside_its_outputs_and_removes_them_at_the_end(data, tmp_path):
    params = TrainerParams(label="y", weight="w", mlp={**MLP, "epochs": 3})

    def hear(text: str) -> None:
        if text.startswith("epoch 3/3"):
            raise Interrupted

    node = tmp_path / "Trainer"
    with progress.shown_by(hear), pytest.raises(Interrupted):
        Run(data, node / "first", params).give_imbalance(data).do()
    assert len(list((node / STATE_FOLDER).rglob("*.npz"))) == 1
    # TFX removes what a failed execution wrote; the next one has folders of its own.
    shutil.rmtree(node / "first")
    report = Run(data, node / "second", params).give_imbalance(data).do()
    assert (report.resumed_epochs, len(report.history)) == (2, 3)
    assert not (node / STATE_FOLDER).exists()
    alone = Run(data, tmp_path / "alone" / "run", params).give_imbalance(data).do()
    assert [e.val_loss for e in report.history] == [e.val_loss for e in alone.history]
