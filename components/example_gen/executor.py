"""Executor of StratifiedExampleGen."""

import json
import os
import uuid
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.components.example_gen import utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.types import standard_component_specs as specs

from ..examples_io import WriteExamples
from ..hashing import IDENTITY_VERSION
from ..names import SPLITS
from ..progress import say
from .driver import PATH_KEY, Input, resolve
from .files import find_files, format_of
from .ingest import ReadSplits, WritePlan
from .notes import IDENTITY_PROPERTY, NOTES_PROPERTY, Identity, to_text
from .params import IngestParams
from .plan import Summary, load_result
from .rows import check_params, check_spans

PARAMS_KEY = "params"
_PLAN_PATH = "_plan_path"
_NOTABLE = 0.01  # of the rows: a deviation from the shares that is told


class Executor(BaseExampleGenExecutor):
    """Reads files and writes the splits, in two Beam jobs over the same files."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """TFX's base class asks for it, to call it from the GenerateExamplesByBeam that is replaced
        below: there rows travel in blocks."""
        raise NotImplementedError("StratifiedExampleGen reads blocks of rows, not single records")

    def GenerateExamplesByBeam(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """The second pass: split name -> PCollection of lists of serialized tf.Examples.

        Args:
          pipeline: Beam pipeline.
          exec_properties: those of `Do`, and `_plan_path`, the file that the first pass wrote.
        """
        params = IngestParams.from_property(exec_properties[PARAMS_KEY])
        files = find_files(resolve(exec_properties).path)
        read = ReadSplits(
            files, format_of(files, params.format), params, exec_properties[_PLAN_PATH]
        )
        return pipeline | read

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the train, val and test splits.

        Args:
          input_dict: empty.
          output_dict:
            - examples: tf.Examples as gzipped TFRecords under Split-train, Split-val, Split-test.
              Custom properties, beside TFX's own: `split_counts` (JSON: split -> class -> rows),
              `split_deviation` (JSON: split -> class -> rows more or fewer than asked),
              `unlabelled_dropped` (rows), `notes` (JSON: what people should know of the data),
              `identity` (JSON: version of `_row_id`, and the columns that it is of).
          exec_properties:
            - input_base, input_config, range_config: see FileBasedExampleGen.
            - params: IngestParams as JSON.
            - path, only_span: instead of those, where no driver runs.
            - span, version, input_fingerprint: by the driver, where one ran.

        Raises:
          UserError: the data or the parameters are unusable: which file, row and column.
          DataCheckError: rows have no label.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        params = IngestParams.from_property(exec_properties[PARAMS_KEY])
        check_params(params)
        source = resolve(exec_properties)
        check_spans(exec_properties.get(PATH_KEY) or "", params)
        files = find_files(source.path)
        file_format = format_of(files, params.format)
        artifact = artifact_utils.get_single_instance(output_dict[specs.EXAMPLES_KEY])
        plan_path = os.path.join(artifact.uri, f"plan-{uuid.uuid4().hex}.npz")
        fileio.makedirs(artifact.uri)
        try:
            with self._make_beam_pipeline() as pipeline:
                pipeline | WritePlan(files, file_format, params, plan_path)
            summary = load_result(plan_path).summary
            say(_in_words(summary))
            for note in summary.notes:
                say(f"warning: {note.message}")
            with self._make_beam_pipeline() as pipeline:
                splits = self.GenerateExamplesByBeam(
                    pipeline, {**exec_properties, _PLAN_PATH: plan_path}
                )
                for split, blocks in splits.items():
                    uri = artifact_utils.get_split_uri([_with_splits(artifact)], split)
                    expected = sum(summary.counts[split].values())
                    (
                        blocks
                        | f"Write[{split}]" >> WriteExamples(uri)
                        | f"Check[{split}]" >> beam.Map(_check_count, expected, split)
                    )
        finally:
            if fileio.exists(plan_path):
                fileio.remove(plan_path)
        _describe(artifact, source, params, summary)


def _with_splits(artifact: types.Artifact) -> types.Artifact:
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    return artifact


def _describe(
    artifact: types.Artifact, source: Input, params: IngestParams, summary: Summary
) -> None:
    examples_utils.set_payload_format(artifact, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    artifact.set_string_custom_property(utils.FINGERPRINT_PROPERTY_NAME, source.fingerprint)
    artifact.set_int_custom_property(utils.SPAN_PROPERTY_NAME, source.span)
    if source.version is not None:
        artifact.set_int_custom_property(utils.VERSION_PROPERTY_NAME, source.version)
    artifact.set_string_custom_property("split_counts", json.dumps(summary.counts))
    artifact.set_string_custom_property("split_deviation", json.dumps(summary.deviation))
    artifact.set_int_custom_property("unlabelled_dropped", summary.unlabelled)
    identity = Identity(version=IDENTITY_VERSION, key=params.split.key)
    artifact.set_string_custom_property(IDENTITY_PROPERTY, identity.model_dump_json())
    artifact.set_string_custom_property(NOTES_PROPERTY, to_text(summary.notes))


def _in_words(summary: Summary) -> str:
    rows = {split: sum(counts.values()) for split, counts in summary.counts.items()}
    words = f"{len(summary.classes)} classes; rows: " + ", ".join(
        f"{split} {count:,}" for split, count in rows.items()
    )
    if summary.unlabelled:
        words += f"; {summary.unlabelled:,} unlabelled dropped"
    for split, count in rows.items():
        share = count / sum(rows.values())
        asked = share - sum(summary.deviation[split].values()) / sum(rows.values())
        if abs(share - asked) > _NOTABLE:
            words += f"; {split} has {share:.1%} of the rows instead of {asked:.1%}"
    return words


def _check_count(written: int, expected: int, split: str) -> None:
    if written != expected:
        raise RuntimeError(
            f"split {split}: {written:,} rows written, {expected:,} found before; the data "
            "changed while they were being read: run again"
        )
