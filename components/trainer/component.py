"""Trainer: TFX's, fed with class weights."""

from typing import Any, ClassVar

from tfx import types
from tfx.components import Trainer as TfxTrainer
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from ..names import TRAIN, VAL
from .executor import Executor
from .params import TrainerParams

RUN_FN = "tfx_imbalance.components.trainer.run_fn.run_fn"
_TFX_SPEC = standard_component_specs.TrainerSpec


class TrainerSpec(types.ComponentSpec):
    """Spec of Trainer: that of TFX's, two reports in, one out, and our parameters."""

    PARAMETERS: ClassVar = {
        **_TFX_SPEC.PARAMETERS,
        "params": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        **_TFX_SPEC.INPUTS,
        "imbalance_report": ChannelParameter(type=artifacts.ImbalanceReport),
        "rebalance_report": ChannelParameter(type=artifacts.RebalanceReport, optional=True),
    }
    OUTPUTS: ClassVar = {
        **_TFX_SPEC.OUTPUTS,
        "report": ChannelParameter(type=artifacts.TrainingReport),
    }


class Trainer(TfxTrainer):
    """Trains a learner of ours, or a run_fn of yours, with class weights.

    A run_fn finds in `fn_args.custom_config`: `class_weights`, {class index: float}, computed on
    the rows that the learner sees; `classes`, the class names in index order; `label`, `weight`,
    `seed`. Its model's `serving_default` takes serialized raw tf.Examples and returns logits
    under the name `logits`, or probabilities.

    Example:
    ```
    trainer = Trainer(
        examples=rebalancer.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        imbalance_report=detector.outputs["report"],
        rebalance_report=rebalancer.outputs["report"],
        params=TrainerParams(label="y", class_weights=ClassWeightParams(scheme="balanced")),
    )
    ```

    Component `outputs` contains:
      - `model`: standard_artifacts.Model.
      - `model_run`: standard_artifacts.ModelRun with TensorBoard's logs.
      - `report`: TrainingReport: device, class weights, history.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        imbalance_report: types.BaseChannel,
        params: TrainerParams,
        rebalance_report: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        custom_config: dict[str, Any] | None = None,
    ) -> None:
        """Builds the component.

        Args:
          examples: transformed Examples with splits train and val.
          transform_graph: Transform's graph, for serving.
          imbalance_report: class order and counts.
          params: learner and class weights.
          rebalance_report: Rebalancer's report, where `examples` are its.
          schema: handed to the run_fn.
          custom_config: more for a run_fn of yours.
        """
        modules = ["tfx_imbalance.components.trainer", "tfx_imbalance.components.class_weights"]
        if params.run_fn:
            modules.append(params.run_fn.rpartition(".")[0])
        base_component.BaseComponent.__init__(
            self,
            spec=TrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                imbalance_report=imbalance_report,
                rebalance_report=rebalance_report,
                run_fn=params.run_fn or RUN_FN,
                train_args=trainer_pb2.TrainArgs(splits=[TRAIN]),
                eval_args=trainer_pb2.EvalArgs(splits=[VAL]),
                custom_config=json_utils.dumps(custom_config),
                params=params.to_property(),
                code_fingerprint=code_fingerprint(*modules),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
                report=types.Channel(type=artifacts.TrainingReport),
            ),
        )
