"""TFX component ImbalanceDetector."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from .executor import Executor
from .params import DetectorParams

_CODE = (
    "tfx_imbalance.components.imbalance_detector",
    "tfx_imbalance.components.class_weights",
    "tfx_imbalance.components.example_gen.notes",
    "tfx_imbalance.components.names",
)


class ImbalanceDetectorSpec(component_spec.ComponentSpec):
    """ImbalanceDetector's spec."""

    PARAMETERS: ClassVar = {
        "params": component_spec.ExecutionParameter(type=str),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies, optional=True
        ),
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples, optional=True
        ),
    }
    OUTPUTS: ClassVar = {
        "report": component_spec.ChannelParameter(type=artifacts.ImbalanceReport),
        "checked_schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }


class ImbalanceDetector(base_component.BaseComponent):
    """Measures class imbalance and stops the run on what the params forbid.

    Counts come from TFDV's statistics; the data are not read again. The label must be text, or an
    integer that the schema given to StatisticsGen marks as categorical. Columns in `params.slices`
    must be in StatisticsGen's slicing_config.

    Example:
      ```
      detector = ImbalanceDetector(
          statistics=statistics_gen.outputs["statistics"],
          schema=schema_gen.outputs["schema"],
          anomalies=example_validator.outputs["anomalies"],
          examples=example_gen.outputs["examples"],
          params=DetectorParams(label="y", positive="yes", row_id=True),
      )
      transform = Transform(
          examples=example_gen.outputs["examples"],
          schema=detector.outputs["checked_schema"],  # nothing is trained on data that fail
          ...,
      )
      ```

    `outputs` contains:
      - `report`: an ImbalanceReport: class order, counts, severity, checks, class weights.
      - `checked_schema`: the Schema, in which every column is optional unless `params.schema_file`
        says that it was curated: SchemaGen sees train alone, and a value that no row of train
        lacks may be missing elsewhere. Columns without a value in train are left out. It has
        `_row_id` and `_row_copy` where `params.row_id` is set: Transform reads no feature that its
        schema lacks, and they are in no statistics.

    Where a check fails, the node fails with `ImbalanceCheckFailed`, which carries the report.
    """

    SPEC_CLASS = ImbalanceDetectorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        params: DetectorParams,
        anomalies: types.BaseChannel | None = None,
        examples: types.BaseChannel | None = None,
    ) -> None:
        """Builds the node.

        Args:
          statistics: ExampleStatistics with a split 'train'.
          schema: the Schema of the same data.
          params: the label, bounds, and what is to fail.
          anomalies: ExampleAnomalies, told in words and judged by `fail_on.anomalies`.
          examples: those of StratifiedExampleGen: what it has to say of the data becomes checks
            that warn. No row of them is read.
        """
        spec = ImbalanceDetectorSpec(
            statistics=statistics,
            schema=schema,
            anomalies=anomalies,
            examples=examples,
            report=types.Channel(type=artifacts.ImbalanceReport),
            checked_schema=types.Channel(type=standard_artifacts.Schema),
            params=params.to_property(),
            code_fingerprint=code_fingerprint(*_CODE),
        )
        super().__init__(spec=spec)
