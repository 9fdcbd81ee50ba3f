"""TFX component Gate."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from .executor import Executor
from .params import GateParams

_CODE = ("gate", "metrics", "artifact_io", "report", "champion.report", "calibrator.report")


class GateSpec(component_spec.ComponentSpec):
    """Gate's spec."""

    PARAMETERS: ClassVar = {
        "params": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "calibration_report": component_spec.ChannelParameter(type=artifacts.CalibrationReport),
        "imbalance_report": component_spec.ChannelParameter(type=artifacts.ImbalanceReport),
        "champion": component_spec.ChannelParameter(type=artifacts.Champion),
    }
    OUTPUTS: ClassVar = {
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": component_spec.ChannelParameter(type=artifacts.GateReport),
    }


class Gate(base_component.BaseComponent):
    """Blesses a model or not, by what Evaluator measured on test, and says why.

    Gates are absolute, against the champion, and on each value of a column. A slice that is too
    small to judge is skipped, and said. A candidate that computes what the champion computes is
    `unchanged` and not blessed: there is nothing to push.

    Example:
      ```
      gate = Gate(
          evaluation=evaluator.outputs["evaluation"],
          model=calibrator.outputs["model"],
          calibration_report=calibrator.outputs["report"],
          imbalance_report=detector.outputs["report"],
          champion=champion.outputs["champion"],
          params=GateParams(absolute=(AbsoluteGate(metric="auc_pr", min=0.3),)),
      )
      pusher = Pusher(model=..., model_blessing=gate.outputs["blessing"], push_destination=...)
      ```

    `outputs` contains:
      - `blessing`: a ModelBlessing, as TFX's Evaluator writes it.
      - `report`: a GateReport: the verdict, every gate's result, the figures of every slice.
    """

    SPEC_CLASS = GateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        evaluation: types.BaseChannel,
        model: types.BaseChannel,
        calibration_report: types.BaseChannel,
        imbalance_report: types.BaseChannel,
        champion: types.BaseChannel,
        params: GateParams | None = None,
    ) -> None:
        """Builds the node.

        Args:
          evaluation: Evaluator's ModelEvaluation, with pipeline.evaluation.eval_config.
          model: the Model that was evaluated.
          calibration_report: Calibrator's report on that model.
          imbalance_report: ImbalanceDetector's report, for the positive class.
          champion: ChampionLoader's Champion.
          params: the gates.
        """
        super().__init__(
            GateSpec(
                evaluation=evaluation,
                model=model,
                calibration_report=calibration_report,
                imbalance_report=imbalance_report,
                champion=champion,
                params=(params or GateParams()).to_property(),
                code_fingerprint=code_fingerprint(
                    *(f"tfx_imbalance.components.{name}" for name in _CODE)
                ),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                report=types.Channel(type=artifacts.GateReport),
            )
        )
