"""Moves Rebalancer's artifacts."""

from typing import Any

import tensorflow_transform as tft
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from ..artifact_io import read_report, split_files, write_report
from ..errors import UserError
from ..imbalance_detector.report import Imbalance
from ..names import TRAIN, VAL
from .features import features_of
from .params import RebalanceParams
from .rebalance import rebalance


class Executor(base_beam_executor.BaseBeamExecutor):
    """Executor of Rebalancer."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Rebalances train, copies val and writes the report.

        Args:
          input_dict:
            - transformed_examples: Examples with the splits train and val.
            - transform_graph: TransformGraph, for the schema of the transformed features.
            - imbalance_report: ImbalanceReport, for the label's name, the classes and their counts.
          output_dict:
            - examples: Examples with the splits train and val.
            - report: RebalanceReport.
          exec_properties:
            - params: RebalanceParams as JSON.
            - weight: name of the sample-weight column, or absent.

        Raises:
          UserError: the examples lack a split or do not allow the method.
        """
        params = RebalanceParams.from_property(exec_properties["params"])
        imbalance = read_report(input_dict, "imbalance_report", Imbalance)
        files = {
            split: split_files(input_dict, "transformed_examples", split) for split in (TRAIN, VAL)
        }
        for artifact in input_dict["transformed_examples"]:
            payload = examples_utils.get_payload_format(artifact)
            if payload != example_gen_pb2.FORMAT_TF_EXAMPLE:
                raise UserError(
                    "Rebalancer reads tf.Examples, but its examples are "
                    f"{example_gen_pb2.PayloadFormat.Name(payload)}"
                )
        if missing := [split for split in files if not files[split]]:
            raise UserError(
                f"Rebalancer's examples have no files of split {', '.join(missing)}; it needs "
                f"{TRAIN} and {VAL}"
            )

        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names([TRAIN, VAL])
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        directory = {split: artifact_utils.get_split_uri([examples], split) for split in files}

        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        schema = graph.transformed_metadata.schema
        report = rebalance(
            self._make_beam_pipeline,
            files[TRAIN],
            directory[TRAIN],
            label=imbalance.label,
            classes=imbalance.classes,
            features=features_of(
                schema, imbalance.label, exec_properties.get("weight"), params.unsupported
            ),
            params=params,
            counts=imbalance.counts.get(TRAIN),
        )
        fileio.makedirs(directory[VAL])
        for i, path in enumerate(files[VAL]):
            suffix = ".gz" if path.endswith(".gz") else ""
            name = f"data_tfrecord-{i:05d}-of-{len(files[VAL]):05d}{suffix}"
            fileio.copy(path, f"{directory[VAL]}/{name}")
        write_report(output_dict, "report", report)
