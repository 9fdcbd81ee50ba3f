"""Our own run_fn: what TFX's Trainer calls where the user gives none."""

import os

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from .. import progress
from ..errors import UserError
from ..names import BOOKKEEPING
from .devices import visible_devices
from .export import ServingModule, export
from .hyperparameters import decoded, overridden
from .input import model_features, read_rows
from .learners import Task, learner, warm_start
from .params import TrainerParams
from .report import RUN_FILE, LearnerRun


def run_fn(fn_args: FnArgs) -> None:
    """Trains the configured learner and exports it.

    Args:
      fn_args: TFX's arguments. `custom_config` has what Trainer's executor put there: `params`,
        `classes`, `class_weights`, `state_dir`. Writes the SavedModel to `serving_model_dir`, a
        LearnerRun and TensorBoard logs to `model_run_dir`. `hyperparameters`, a keras_tuner config
        whose names are paths such as `mlp.dropout`, go before those of `params`. From the model in
        `base_model` training starts where `params.warm_start` asks for it.

    Raises:
      UserError: no transform graph, or examples that the learner cannot take.
    """
    config = fn_args.custom_config
    params = TrainerParams.from_property(config["params"])
    # First of all: several workers must meet before TensorFlow computes anything.
    devices = visible_devices(params.mixed_precision, params.jit_compile)
    if not fn_args.transform_graph_path:
        raise UserError(
            "Trainer: no transform_graph; the built-in learners need Transform's: pass "
            "transform_graph=transform.outputs['transform_graph'], or your own run_fn"
        )
    tuned = (fn_args.hyperparameters or {}).get("values", {})
    params = overridden(params, tuned)
    classes: list[str] = config["classes"]
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    features = model_features(transform, params.label, params.weight)
    train, val = (
        read_rows(
            files, transform, features, label=params.label, classes=classes, weight=params.weight
        )
        for files in (fn_args.train_files, fn_args.eval_files)
    )
    inputs = warm_start.Inputs.of(transform, features, classes)
    start, started = _start(params, fn_args.base_model, inputs)
    progress.say(f"{params.learner}: {len(train):,} rows on {devices.description}")
    task = Task(
        features,
        classes,
        np.array([config["class_weights"][k] for k in range(len(classes))]),
        params,
        devices,
        fn_args.model_run_dir,
        config.get("state_dir"),
        start,
    )
    fitted = learner(params.learner)(train, val, task)
    hidden = {params.label, params.weight, *BOOKKEEPING}
    export(ServingModule(transform, fitted.scorer, hidden), fn_args.serving_model_dir)
    if fitted.network:
        warm_start.save(fitted.network, inputs, fn_args.serving_model_dir)
    effect = fitted.effect or task.weighted()
    run = LearnerRun(
        device=fitted.device or devices.description,
        mixed_precision=devices.mixed_precision,
        rows=len(train),
        batch_size=fitted.batch_size,
        resumed_epochs=fitted.resumed_epochs,
        warm_start=started,
        unit=fitted.unit,
        best_epoch=fitted.best_epoch,
        history=fitted.history,
        hyperparameters={path: decoded(value) for path, value in tuned.items()},
        factors=dict(zip(classes, effect.factors.tolist(), strict=True)),
        kind=effect.kind,
    )
    with tf.io.gfile.GFile(os.path.join(fn_args.model_run_dir, RUN_FILE), "w") as file:
        file.write(run.model_dump_json(indent=2))


def _start(
    params: TrainerParams, base_model: str | None, inputs: warm_start.Inputs
) -> tuple[warm_start.Network | None, str | None]:
    """What to start from, and in words; (None, None) where that is not asked for."""
    if not params.warm_start:
        return None, None
    try:
        network, said = warm_start.start(base_model, params.mlp, inputs)
    except warm_start.DoesNotFit as why:
        progress.say(f"warm start: afresh: {why}")
        return None, f"afresh: {why}"
    progress.say(f"warm start: from {said}")
    return network, f"from {said}"
