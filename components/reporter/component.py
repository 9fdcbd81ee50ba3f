"""Reporter: one page and one summary of a run, for people and for scripts."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from . import executor
from .params import RunContext

_CODE = (
    "reporter",
    "scoring",
    "metrics",
    "examples_io",
    "artifact_io",
    "names",
    "report",
    "text",
    "masking",
)


class ReporterSpec(types.ComponentSpec):
    """Reporter's inputs, outputs and parameters."""

    PARAMETERS: ClassVar = {
        "context": ExecutionParameter(type=str),
        "run_id": ExecutionParameter(type=str, optional=True),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "imbalance_report": ChannelParameter(type=artifacts.ImbalanceReport),
        "rebalance_report": ChannelParameter(type=artifacts.RebalanceReport, optional=True),
        "tuning_report": ChannelParameter(type=artifacts.TuningReport, optional=True),
        "training_report": ChannelParameter(type=artifacts.TrainingReport),
        "calibration_report": ChannelParameter(type=artifacts.CalibrationReport),
        "gate_report": ChannelParameter(type=artifacts.GateReport),
        "drift_report": ChannelParameter(type=artifacts.DriftReport, optional=True),
        "champion": ChannelParameter(type=artifacts.Champion),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS: ClassVar = {"report": ChannelParameter(type=artifacts.RunReport)}


class Reporter(base_component.BaseComponent):
    """Writes report.html, which opens anywhere without a network, and summary.json.

    A run that stops before its end never reaches this node; its runner calls
    `reporter.write.write_run_report` with what there is.

    Example:
    ```
    reporter = Reporter(
        imbalance_report=detector.outputs["report"],
        rebalance_report=rebalancer.outputs["report"],
        training_report=trainer.outputs["report"],
        calibration_report=calibrator.outputs["report"],
        gate_report=gate.outputs["report"],
        drift_report=drift.outputs["report"],
        champion=champion.outputs["champion"],
        model=calibrator.outputs["model"],
        examples=example_gen.outputs["examples"],
        pushed_model=pusher.outputs["pushed_model"],
        context=RunContext(name="bank", run_id="20261124T234805", seed=7),
    )
    ```

    Component `outputs` contains:
      - `report`: Channel of type `RunReport`: report.html and summary.json.
    """

    SPEC_CLASS = ReporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        imbalance_report: types.BaseChannel,
        training_report: types.BaseChannel,
        calibration_report: types.BaseChannel,
        gate_report: types.BaseChannel,
        champion: types.BaseChannel,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        pushed_model: types.BaseChannel,
        context: RunContext,
        rebalance_report: types.BaseChannel | None = None,
        drift_report: types.BaseChannel | None = None,
        tuning_report: types.BaseChannel | None = None,
        run_id: str | None = None,
    ) -> None:
        """Builds the component.

        Args:
          imbalance_report: ImbalanceDetector's report.
          training_report: Trainer's report.
          calibration_report: Calibrator's report.
          gate_report: Gate's report.
          champion: ChampionLoader's Champion.
          model: Calibrator's Model, the one that was evaluated.
          examples: the raw Examples, as ingested; the split test is scored.
          pushed_model: TFX Pusher's PushedModel.
          context: which run this is.
          rebalance_report: Rebalancer's report, if there was one.
          drift_report: DriftCheck's report, if there was one.
          tuning_report: Tuner's report, if there was one.
          run_id: the orchestrator's placeholder for the run, where `context` cannot know it.
        """
        super().__init__(
            ReporterSpec(
                imbalance_report=imbalance_report,
                rebalance_report=rebalance_report,
                tuning_report=tuning_report,
                training_report=training_report,
                calibration_report=calibration_report,
                gate_report=gate_report,
                drift_report=drift_report,
                champion=champion,
                model=model,
                examples=examples,
                pushed_model=pushed_model,
                context=context.to_property(),
                run_id=run_id,
                code_fingerprint=code_fingerprint(
                    *(f"tfx_imbalance.components.{name}" for name in _CODE)
                ),
                report=types.Channel(type=artifacts.RunReport),
            )
        )
