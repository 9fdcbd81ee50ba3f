"""The state of a Keras model's training in a file, so that it survives its process."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from ... import progress
from ..input import Rows
from ..report import Epoch
from .base import Task
from .watch import Watch


def path_of(task: Task, train: Rows, val: Rows, *more: object) -> str | None:
    """Where the state of one training lies, the same for every process that would do just that.

    Args:
      task: with parameters, features, classes, devices and the folder of states.
      train: rows that it learns from.
      val: rows that it stops by.
      more: what else it depends on: arrays, or anything whose repr tells all.

    Returns:
      None where states are not kept.
    """
    if task.state_dir is None:
        return None
    devices = task.devices
    digest = hashlib.sha256()
    for part in (
        tf.__version__,
        keras.__version__,
        task.params.to_property(),
        tuple(task.features),
        list(task.classes),
        task.class_weights,
        (devices.policy, devices.jit, devices.strategy.num_replicas_in_sync),
        *(a for r in (train, val) for a in (r.numbers, r.categories, r.labels, r.weights)),
        *more,
    ):
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
    return os.path.join(task.state_dir, f"{digest.hexdigest()[:32]}.npz")


class Checkpoint(keras.callbacks.Callback):
    """Writes the state after each epoch, and takes up that of an earlier process.

    The state is every variable of model and optimizer (dropout's seeds, moments, the average
    weights, the number of steps), the best weights and the history. Where batches depend on
    nothing but the epoch's number, training that was interrupted ends bit for bit where it would
    have ended without.

    Args:
      path: of the file, local or remote; None to keep nothing.
      averages: what swaps weights and their averages; stands before this in the callbacks.
      watch: what knows the best weights; likewise.
      writes: whether this process writes, and does not only read.
    """

    def __init__(
        self,
        path: str | None,
        averages: keras.callbacks.SwapEMAWeights,
        watch: Watch,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self._path, self._averages, self._watch = path, averages, watch
        self._writes = writes

    def take_up(self, model: keras.Model) -> int:
        """Brings all to where an earlier process left it.

        Args:
          model: compiled, its optimizer built.

        Returns:
          How many epochs are done: 0 where there is no state.
        """
        state = self._read()
        if state is None:
            return 0
        epochs = [Epoch.model_validate(entry) for entry in json.loads(str(state["history"]))]
        best = [state[f"best_{i}"] for i in range(len(model.weights))]
        self._watch.take_up(epochs, int(state["best_epoch"]), best)
        # As after any epoch: what is called weights are the averages, until the next one begins.
        self._averages.set_model(model)
        self._averages.on_test_begin()
        for i, variable in enumerate(_variables(model)):
            variable.assign(state[f"variable_{i}"])
        progress.say(f"goes on after epoch {len(epochs)}, where an earlier run was interrupted")
        return len(epochs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes, whole or not at all."""
        if self._path is None or not self._writes:
            return
        watch = self._watch
        history = json.dumps([entry.model_dump() for entry in watch.history])
        arrays = {"history": np.array(history), "best_epoch": np.array(watch.best_epoch)}
        arrays |= {f"best_{i}": array for i, array in enumerate(watch.best_weights)}
        arrays |= {
            f"variable_{i}": keras.ops.convert_to_numpy(variable)
            for i, variable in enumerate(_variables(self.model))
        }
        content = io.BytesIO()
        np.savez(content, **arrays)
        tf.io.gfile.makedirs(os.path.dirname(self._path))
        partial = f"{self._path}.partial"
        with tf.io.gfile.GFile(partial, "wb") as file:
            file.write(content.getvalue())
        tf.io.gfile.rename(partial, self._path, overwrite=True)

    def _read(self) -> Mapping[str, np.ndarray] | None:
        if self._path is None or not tf.io.gfile.exists(self._path):
            return None
        with tf.io.gfile.GFile(self._path, "rb") as file:
            content = io.BytesIO(file.read())
        try:
            with np.load(content, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (EOFError, ValueError, zipfile.BadZipFile):
            progress.say(f"the state in {self._path} is damaged: starts from the beginning")
            return None


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
