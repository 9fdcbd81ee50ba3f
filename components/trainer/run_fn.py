"""The run_fn of our learners, for TFX's generic Trainer."""

import os
import time

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from ..names import LOGITS, ROW_ID
from . import devices
from .input import Examples, FeatureSpace
from .learners import Fitted, learner
from .params import TrainerParams
from .record import RunRecord


def run_fn(fn_args: FnArgs) -> None:
    """Trains the configured learner and saves it with `serving_default` from raw tf.Examples.

    `fn_args.custom_config` holds `params` (TrainerParams as JSON), `classes` (names in index
    order) and `class_weights` (class index -> weight), which our executor puts there.
    """
    started = time.monotonic()
    given = fn_args.custom_config
    params: TrainerParams = TrainerParams.from_property(given["params"])
    transform = tft.TFTransformOutput(fn_args.transform_output)
    no_features = {params.label, params.weight, ROW_ID}
    space = FeatureSpace.of(transform.transformed_metadata.schema, no_features)
    train, val = (
        Examples(
            patterns=patterns,
            spec={
                name: feature
                for name, feature in transform.transformed_feature_spec().items()
                if name != ROW_ID
            },
            space=space,
            label=params.label,
            classes=given["classes"],
            weight=params.weight,
        )
        for patterns in (fn_args.train_files, fn_args.eval_files)
    )
    mixed_precision = devices.use_mixed_precision(params.mixed_precision)
    fit = learner(params.learner)
    fitted = fit(train, val, given["class_weights"], params, mixed_precision)
    _log_to_tensorboard(fitted, os.path.join(fn_args.model_run_dir, "tensorboard"))
    served = _Served(fitted, transform, space, no_features)
    tf.saved_model.save(
        served, fn_args.serving_model_dir, signatures={"serving_default": served.serving_default}
    )
    RunRecord(
        device=devices.describe(),
        mixed_precision=mixed_precision,
        seconds=round(time.monotonic() - started, 3),
        best_epoch=fitted.best_epoch,
        history=tuple(fitted.history),
    ).write(fn_args.model_run_dir)


class _Served(tf.Module):
    """Raw serialized tf.Examples to logits: Transform's graph, then the network."""

    def __init__(
        self,
        fitted: Fitted,
        transform: tft.TFTransformOutput,
        space: FeatureSpace,
        no_features: set[str | None],
    ) -> None:
        super().__init__()
        self.scores = fitted.scores
        self.transform_layer = transform.transform_features_layer()
        self._space = space
        self._spec = {
            name: feature
            for name, feature in transform.raw_feature_spec().items()
            if name not in no_features
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_default(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(examples, self._spec)
        return {LOGITS: self.scores(*self._space.pack(self.transform_layer(raw)))}


def _log_to_tensorboard(fitted: Fitted, folder: str) -> None:
    with tf.summary.create_file_writer(folder).as_default():
        for epoch in fitted.history:
            tf.summary.scalar("loss/train", epoch.train_loss, epoch.epoch)
            tf.summary.scalar("loss/val", epoch.val_loss, epoch.epoch)
            tf.summary.scalar("auc_pr/val", epoch.val_auc_pr, epoch.epoch)
            for name, recall in epoch.val_recall.items():
                tf.summary.scalar(f"recall_val/{name}", recall, epoch.epoch)
