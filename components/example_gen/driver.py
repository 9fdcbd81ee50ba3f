"""The ingest node's driver: which span, which version, and what the files contain."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tfx.components.example_gen import driver, input_processor, utils
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from ..errors import UserError
from .files import content_fingerprint, has_span, split_path

PATH_KEY = "path"
ONLY_SPAN_KEY = "only_span"


@dataclass(frozen=True)
class Input:
    """Where the data lie, any placeholder filled in.

    Attributes:
      path: of a file, a folder or a glob.
      span: the span, 0 where data do not come in spans.
      version: the span's version, where there are versions.
      fingerprint: over the content of the files.
    """

    path: str
    span: int
    version: int | None
    fingerprint: str


class ContentInputProcessor(input_processor.FileBasedInputProcessor):
    """Resolves span and version as TFX does; the fingerprint is over the files' content.

    TFX's own is over their size and whole second of modification, so that an edit may pass unseen
    and a mere copy may not.
    """

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """See base class; raises UserError where no file matches."""
        try:
            return super().resolve_span_and_version()
        except ValueError as error:
            raise UserError(f"data.path: {error} (in {self._input_base_uri})") from error

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """SHA-256 of the names and bytes of the files of one span and version."""
        patterns = (
            self.get_pattern_for_span_version(split.pattern, span, version)
            for split in self._splits
        )
        return "\n".join(
            content_fingerprint(os.path.join(self._input_base_uri, pattern)) for pattern in patterns
        )


class Driver(driver.FileBasedDriver):
    """TFX's driver of file-based ExampleGens, with a fingerprint over content."""

    def get_input_processor(
        self,
        splits: Iterable[example_gen_pb2.Input.Split],
        range_config: range_config_pb2.RangeConfig | None = None,
        input_base_uri: str | None = None,
    ) -> input_processor.InputProcessor:
        """See base class."""
        assert input_base_uri
        return ContentInputProcessor(input_base_uri, splits, range_config)


def resolve(exec_properties: dict[str, Any]) -> Input:
    """The input as the driver resolved it, or resolved here where no driver ran (Kubeflow).

    Raises:
      UserError: no file matches.
    """
    base, splits = _where(exec_properties)
    pattern = splits[0].pattern
    span = exec_properties.get(utils.SPAN_PROPERTY_NAME) or 0
    version = exec_properties.get(utils.VERSION_PROPERTY_NAME)
    range_config = _wanted_spans(exec_properties, os.path.join(base, pattern))
    if has_span(pattern):
        processor = ContentInputProcessor(base, splits, range_config)
        span, version = processor.resolve_span_and_version()
        pattern = processor.get_pattern_for_span_version(pattern, span, version)
    path = os.path.join(base, pattern)
    fingerprint = exec_properties.get(utils.FINGERPRINT_PROPERTY_NAME)
    return Input(path, span, version, fingerprint or content_fingerprint(path))


def _where(exec_properties: dict[str, Any]) -> tuple[str, list[example_gen_pb2.Input.Split]]:
    """Folder and pattern: of the path that was given when the node started, if one was."""
    if path := exec_properties.get(PATH_KEY):
        folder, pattern = split_path(path)
        return folder, [example_gen_pb2.Input.Split(name="single_split", pattern=pattern)]
    config = example_gen_pb2.Input()
    proto_utils.json_to_proto(exec_properties[specs.INPUT_CONFIG_KEY], config)
    return exec_properties[specs.INPUT_BASE_KEY], list(config.splits)


def _wanted_spans(
    exec_properties: dict[str, Any], path: str
) -> range_config_pb2.RangeConfig | None:
    range_config = range_config_pb2.RangeConfig()
    if only := exec_properties.get(ONLY_SPAN_KEY):
        span = _span_number(only)
        if not has_span(path):
            raise UserError(f"span: found {only!r}, but data_path has no {{SPAN}}: {path}")
        range_config.static_range.start_span_number = span
        range_config.static_range.end_span_number = span
        return range_config
    if text := exec_properties.get(specs.RANGE_CONFIG_KEY):
        proto_utils.json_to_proto(text, range_config)
        return range_config
    return None


def _span_number(text: str) -> int:
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise UserError(
            f"span: found {text!r}; expected a number such as 12, a day such as 2026-11-25, or "
            "nothing for the newest"
        ) from None
    return utils.date_to_span_number(day.year, day.month, day.day)
