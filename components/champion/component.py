"""TFX component ChampionLoader."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from tfx_imbalance import artifacts

from ..fingerprint import code_fingerprint
from .executor import Executor

_CODE = ("champion", "artifact_io", "scoring", "names", "report", "calibrator.report")


class ChampionLoaderSpec(component_spec.ComponentSpec):
    """ChampionLoader's spec."""

    PARAMETERS: ClassVar = {
        "registry_dir": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=str, optional=True),
        "code_fingerprint": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar = {
        "imbalance_report": component_spec.ChannelParameter(type=artifacts.ImbalanceReport),
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples, optional=True
        ),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema, optional=True),
    }
    OUTPUTS: ClassVar = {
        "champion": component_spec.ChannelParameter(type=artifacts.Champion),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }


class ChampionLoader(base_component.BaseComponent):
    """Brings in the champion, the model that was pushed last, from the registry folder.

    The version is a parameter, so that TFX's cache reruns the node, and what compares with the
    champion, after a push, and not otherwise. Where the registry is not in reach when the pipeline
    is built, the node itself finds the newest version.

    Example:
      ```
      champion = ChampionLoader(
          imbalance_report=detector.outputs["report"],
          examples=example_gen.outputs["examples"],
          schema=detector.outputs["checked_schema"],
          registry_dir="runs/bank/serving",
          version=registry.latest_version("runs/bank/serving") or "",
      )
      evaluator = Evaluator(baseline_model=champion.outputs["model"], ...)
      ```

    `outputs` contains:
      - `champion`: a Champion: which model, and whether the candidate can be compared with it.
      - `model`: a Model, or none where there is no comparable champion.
      - `statistics`: ExampleStatistics of the champion's train split, or none likewise.
    """

    SPEC_CLASS = ChampionLoaderSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        imbalance_report: types.BaseChannel,
        registry_dir: str | RuntimeParameter,
        version: str | None,
        examples: types.BaseChannel | None = None,
        schema: types.BaseChannel | None = None,
    ) -> None:
        """Builds the node.

        Args:
          imbalance_report: ImbalanceDetector's report, for the classes.
          registry_dir: folder of pushed models, Pusher's base_directory.
          version: folder of the champion in it; '' for none; None for the newest one when the node
            runs, where it must not be cached.
          examples: raw Examples; a champion that cannot score the first rows of test, as a column
            is gone or of another type, is not comparable. Evaluator would fail on it.
          schema: of today's columns; a champion that was trained on a column that is gone or of
            another type is not comparable.
        """
        super().__init__(
            ChampionLoaderSpec(
                imbalance_report=imbalance_report,
                examples=examples,
                schema=schema,
                registry_dir=registry_dir,
                version=version,
                code_fingerprint=code_fingerprint(
                    *(f"tfx_imbalance.components.{name}" for name in _CODE)
                ),
                champion=types.Channel(type=artifacts.Champion),
                model=types.Channel(type=standard_artifacts.Model),
                statistics=types.Channel(type=standard_artifacts.ExampleStatistics),
            )
        )
