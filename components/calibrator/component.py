"""Calibrator: honest probabilities and an operating point for whatever Trainer made."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from . import executor
from .params import CalibratorParams

_CODE = ("calibrator", "scoring", "metrics", "examples_io", "artifact_io", "names", "report")


class CalibratorSpec(types.ComponentSpec):
    """Calibrator's inputs, outputs and parameters."""

    PARAMETERS: ClassVar = {
        "params": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        # Not `model`: a spec's inputs and outputs may not share a name.
        "trained_model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "imbalance_report": ChannelParameter(type=artifacts.ImbalanceReport),
        "rebalance_report": ChannelParameter(type=artifacts.RebalanceReport, optional=True),
        "training_report": ChannelParameter(type=artifacts.TrainingReport),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }
    OUTPUTS: ClassVar = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "report": ChannelParameter(type=artifacts.CalibrationReport),
    }


class Calibrator(base_component.BaseComponent):
    """Undoes what resampling and weights did to the prior, calibrates and picks the threshold.

    All of it is fitted on the untouched split val. The model that comes out is plain TensorFlow:
    its `serving_default` takes raw tf.Examples and returns calibrated `probabilities`,
    `probability`, `decision` and `label`.

    Example:
    ```
    calibrator = Calibrator(
        model=trainer.outputs["model"],
        examples=example_gen.outputs["examples"],
        imbalance_report=detector.outputs["report"],
        rebalance_report=rebalancer.outputs["report"],
        training_report=trainer.outputs["report"],
        statistics=statistics_gen.outputs["statistics"],
        params=CalibratorParams(label="y", threshold=ThresholdParams(objective="f_beta")),
    )
    ```

    Component `outputs` contains:
      - `model`: Channel of type `standard_artifacts.Model`, to evaluate and push.
      - `report`: Channel of type `CalibrationReport`: report.json and val_scores.npz.
    """

    SPEC_CLASS = CalibratorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        imbalance_report: types.BaseChannel,
        training_report: types.BaseChannel,
        statistics: types.BaseChannel,
        params: CalibratorParams,
        rebalance_report: types.BaseChannel | None = None,
    ) -> None:
        """Builds the component.

        Args:
          model: Trainer's Model; its `serving_default` gives `logits` [n, n_classes] or, as the
            only output, probabilities [n, n_classes], [n, 1] or [n].
          examples: the raw Examples, as ingested; the split val is read.
          imbalance_report: ImbalanceDetector's report.
          training_report: Trainer's report.
          statistics: StatisticsGen's statistics; train's travel with the pushed model.
          params: what to do.
          rebalance_report: Rebalancer's report, if there was one.
        """
        super().__init__(
            CalibratorSpec(
                trained_model=model,
                examples=examples,
                imbalance_report=imbalance_report,
                rebalance_report=rebalance_report,
                training_report=training_report,
                statistics=statistics,
                params=params.to_property(),
                code_fingerprint=code_fingerprint(
                    *(f"tfx_imbalance.components.{name}" for name in _CODE)
                ),
                model=types.Channel(type=standard_artifacts.Model),
                report=types.Channel(type=artifacts.CalibrationReport),
            )
        )
