"""TFX component Pusher."""

from typing import ClassVar

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from .executor import Executor


class PusherSpec(types.ComponentSpec):
    """Pusher's spec."""

    PARAMETERS: ClassVar = {"serving_dir": ExecutionParameter(type=str)}
    INPUTS: ClassVar = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS: ClassVar = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class Pusher(base_component.BaseComponent):
    """Pushes a blessed model to a folder, as TFX's Pusher does.

    TFX's takes a message with the folder inside, which no runtime parameter can fill in part; here
    the folder is a parameter of its own, the same text that ChampionLoader gets.

    Example:
      ```
      pusher = Pusher(
          model=calibrator.outputs["model"],
          model_blessing=gate.outputs["blessing"],
          serving_dir="runs/bank/serving",
      )
      ```

    `outputs` contains:
      - `pushed_model`: a PushedModel.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        serving_dir: str | RuntimeParameter,
    ) -> None:
        """Builds the node.

        Args:
          model: the Model to push.
          model_blessing: whether it may be.
          serving_dir: registry folder; a version is a sub-folder.
        """
        super().__init__(
            PusherSpec(
                model=model,
                model_blessing=model_blessing,
                serving_dir=serving_dir,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
