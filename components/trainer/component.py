"""Trainer: TFX's own, with class weights and a report."""

from typing import Any, ClassVar

from tfx import types
from tfx.components.trainer import component as tfx_trainer
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter
from tfx.utils import json_utils

from tfx_imbalance import artifacts

from ..errors import UserError
from ..fingerprint import code_fingerprint
from ..names import TRAIN, VAL
from .executor import Executor
from .params import TrainerParams

OUR_RUN_FN = "tfx_imbalance.components.trainer.run_fn.run_fn"


class TrainerSpec(standard_component_specs.TrainerSpec):
    """TFX's spec of Trainer, extended."""

    PARAMETERS: ClassVar = {
        **standard_component_specs.TrainerSpec.PARAMETERS,
        "params": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        **standard_component_specs.TrainerSpec.INPUTS,
        "imbalance_report": ChannelParameter(type=artifacts.ImbalanceReport, optional=True),
        "rebalance_report": ChannelParameter(type=artifacts.RebalanceReport, optional=True),
    }
    OUTPUTS: ClassVar = {
        **standard_component_specs.TrainerSpec.OUTPUTS,
        "report": ChannelParameter(type=artifacts.TrainingReport),
    }


class Trainer(tfx_trainer.Trainer):
    """Trains on the split `train`, with `val` for early stopping.

    A user's own `run_fn` (`params.run_fn`, a dotted name) works unchanged. Whichever runs finds
    in `fn_args.custom_config`, beside what was passed here: `class_weights` ({class index:
    float}), `classes` (their names in index order), `label`, `weight` (names of features),
    `seed`, `params` (TrainerParams as JSON) and `state_dir` (a folder for what a killed training
    goes on from; it is emptied when one ends well). Weights are computed from the counts that the
    learner sees: after rebalancing, if there was any.

    !!! Example
        ```
        trainer = Trainer(
            examples=rebalancer.outputs["examples"],
            transform_graph=transform.outputs["transform_graph"],
            imbalance_report=detector.outputs["report"],
            rebalance_report=rebalancer.outputs["report"],
            params=TrainerParams(label="y", class_weights=ClassWeightParams(scheme="balanced")),
        )
        ```

    Component `outputs` contains:

     - `model`: Channel of type `standard_artifacts.Model`. Ours has the signature
       `serving_default(examples)` -> {"logits": float32 [n, n_classes]}.
     - `model_run`: Channel of type `standard_artifacts.ModelRun`, with TensorBoard logs.
     - `report`: Channel of type `artifacts.TrainingReport`.
    """

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        params: TrainerParams,
        transform_graph: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
        imbalance_report: types.BaseChannel | None = None,
        rebalance_report: types.BaseChannel | None = None,
        base_model: types.BaseChannel | None = None,
        hyperparameters: types.BaseChannel | None = None,
        train_args: trainer_pb2.TrainArgs | None = None,
        eval_args: trainer_pb2.EvalArgs | None = None,
        custom_config: dict[str, Any] | None = None,
    ) -> None:
        """Builds the node.

        Args:
          examples: transformed examples with the splits `train` and `val`.
          params: what to train.
          transform_graph: Transform's; the built-in learners need it.
          schema: for a run_fn that wants it.
          imbalance_report: fixes the order of the classes; without it the train split is counted
            and the largest class comes first.
          rebalance_report: where the examples were rebalanced.
          base_model: what the built-in mlp starts from where `params.warm_start` says so; or for
            a run_fn that wants it.
          hyperparameters: Tuner's; the built-in learners take them over those of `params`.
          train_args: TFX's; splits are `train` where none are named.
          eval_args: TFX's; splits are `val` where none are named.
          custom_config: more for the run_fn.

        Raises:
          UserError: params.run_fn names no module.
        """
        train_args = train_args or trainer_pb2.TrainArgs()
        eval_args = eval_args or trainer_pb2.EvalArgs()
        spec = TrainerSpec(
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            imbalance_report=imbalance_report,
            rebalance_report=rebalance_report,
            base_model=base_model,
            hyperparameters=hyperparameters,
            train_args=_with_splits(train_args, TRAIN),
            eval_args=_with_splits(eval_args, VAL),
            run_fn=params.run_fn or OUR_RUN_FN,
            custom_config=json_utils.dumps(custom_config),
            params=params.to_property(),
            code_fingerprint=_fingerprint(params.run_fn),
            model=types.Channel(type=standard_artifacts.Model),
            model_run=types.Channel(type=standard_artifacts.ModelRun),
            report=types.Channel(type=artifacts.TrainingReport),
        )
        # TFX's own __init__ would build its own spec.
        base_component.BaseComponent.__init__(self, spec=spec)


def _with_splits(args: Any, default: str) -> Any:
    filled = type(args)()
    filled.CopyFrom(args)
    if not filled.splits:
        filled.splits.append(default)
    return filled


def _fingerprint(run_fn: str | None) -> str:
    shared = ("trainer", "class_weights", "examples_io", "metrics")
    modules = [f"tfx_imbalance.components.{name}" for name in shared]
    if run_fn is None:
        return code_fingerprint(*modules)
    try:
        return code_fingerprint(*modules, run_fn.rpartition(".")[0])
    except (ModuleNotFoundError, ValueError) as error:
        raise UserError(
            f"train.run_fn: found {run_fn!r}; expected package.module.function of a module that "
            f"Python finds ({error})"
        ) from error
