"""Tuner: searches a learner's hyperparameters by cross-validation within train."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from .executor import Executor
from .params import TunerParams

_CODE = (
    "tuner",
    "trainer",
    "rebalancer",
    "class_weights",
    "metrics",
    "hashing",
    "examples_io",
    "example_gen.splits",
)


class TunerSpec(types.ComponentSpec):
    """Tuner's inputs, outputs and execution properties."""

    PARAMETERS: ClassVar = {
        "params": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": ChannelParameter(type=standard_artifacts.TransformGraph),
        "imbalance_report": ChannelParameter(type=artifacts.ImbalanceReport),
        "raw_examples": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS: ClassVar = {
        "best_hyperparameters": ChannelParameter(type=standard_artifacts.HyperParameters),
        "report": ChannelParameter(type=artifacts.TuningReport),
    }


class Tuner(base_component.BaseComponent):
    """Tries hyperparameters of any built-in learner and keeps the best.

    Each trial is cross-validated on stratified folds of train: the learner is fitted on all folds
    but one, rebalanced among themselves and weighted by the counts that it sees, and judged on
    the one left out as it came. Rows with equal identity, or of one group, share a fold. The
    split val serves early stopping alone, as in Trainer.

    Example:
      ```
      tuner = Tuner(
          examples=transform.outputs["transformed_examples"],  # never Rebalancer's
          transform_graph=transform.outputs["transform_graph"],
          imbalance_report=detector.outputs["report"],
          params=TunerParams(trainer=TrainerParams(label="y"), trials=30, folds=5),
      )
      trainer = Trainer(hyperparameters=tuner.outputs["best_hyperparameters"], ...)
      ```

    Component `outputs` contains:
      - `best_hyperparameters`: `standard_artifacts.HyperParameters`, as TFX's own Tuner writes
        it; names are paths such as `mlp.learning_rate`.
      - `report`: `TuningReport` with every trial and fold, and the nested estimate if asked for.
    """

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        imbalance_report: types.BaseChannel,
        params: TunerParams,
        raw_examples: types.BaseChannel | None = None,
    ) -> None:
        """Builds the node.

        Args:
          examples: Transform's examples with the splits `train` and `val`.
          transform_graph: Transform's.
          imbalance_report: for the label's name and the class order.
          params: learner, rebalancing, folds, trials, space.
          raw_examples: StratifiedExampleGen's, where rows of one group must share a fold.
        """
        super().__init__(
            TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                imbalance_report=imbalance_report,
                raw_examples=raw_examples,
                params=params.to_property(),
                code_fingerprint=code_fingerprint(
                    *(f"tfx_imbalance.components.{name}" for name in _CODE)
                ),
                best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
                report=types.Channel(type=artifacts.TuningReport),
            )
        )
