"""TFX component DriftCheck."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from .executor import Executor
from .params import DriftParams

_CODE = (
    "tfx_imbalance.components.drift_check",
    "tfx_imbalance.components.imbalance_detector",
)


class DriftCheckSpec(component_spec.ComponentSpec):
    """DriftCheck's spec."""

    PARAMETERS: ClassVar = {
        "params": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "imbalance_report": component_spec.ChannelParameter(type=artifacts.ImbalanceReport),
        "champion": component_spec.ChannelParameter(type=artifacts.Champion),
        "champion_statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
    }
    OUTPUTS: ClassVar = {"report": component_spec.ChannelParameter(type=artifacts.DriftReport)}


class DriftCheck(base_component.BaseComponent):
    """Compares train with the data that the champion was trained on; warns, never fails.

    A leaf: nothing on the way to a model reads its report.

    Example:
      ```
      drift = DriftCheck(
          statistics=statistics_gen.outputs["statistics"],
          imbalance_report=detector.outputs["report"],
          champion=champion.outputs["champion"],
          champion_statistics=champion.outputs["statistics"],
      )
      ```

    `outputs` contains:
      - `report`: a DriftReport: the prior then and now, each feature's distance, a verdict.
    """

    SPEC_CLASS = DriftCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        imbalance_report: types.BaseChannel,
        champion: types.BaseChannel,
        champion_statistics: types.BaseChannel | None = None,
        params: DriftParams | None = None,
    ) -> None:
        """Builds the node.

        Args:
          statistics: ExampleStatistics with a split 'train'.
          imbalance_report: today's ImbalanceReport.
          champion: ChampionLoader's Champion.
          champion_statistics: ChampionLoader's ExampleStatistics; it may hold none.
          params: the bounds.
        """
        spec = DriftCheckSpec(
            statistics=statistics,
            imbalance_report=imbalance_report,
            champion=champion,
            champion_statistics=champion_statistics,
            report=types.Channel(type=artifacts.DriftReport),
            params=(params or DriftParams()).to_property(),
            code_fingerprint=code_fingerprint(*_CODE),
        )
        super().__init__(spec=spec)
