"""Executor of Pusher."""

from typing import Any

from tfx.components.pusher import executor as tfx_pusher
from tfx.proto import pusher_pb2
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from ..artifact_io import ArtifactDict


class Executor(tfx_pusher.Executor):
    """TFX's, told the folder by its plain name."""

    def Do(
        self,
        input_dict: ArtifactDict,
        output_dict: ArtifactDict,
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the model, if it is blessed, to `<serving_dir>/<seconds since 1970>/`.

        Args:
          input_dict: `model` (Model) and `model_blessing` (ModelBlessing).
          output_dict: `pushed_model` (PushedModel), with what TFX's Pusher says of it.
          exec_properties: `serving_dir`, the registry folder.
        """
        destination = pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(
                base_directory=exec_properties["serving_dir"]
            )
        )
        properties = {specs.PUSH_DESTINATION_KEY: proto_utils.proto_to_json(destination)}
        super().Do(input_dict, output_dict, exec_properties | properties)
