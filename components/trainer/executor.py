"""Executor of Trainer: TFX's generic one, with class weights in and a report out."""

import time
from typing import Any

from tfx import types
from tfx.components.trainer import executor as tfx_executor
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.types import artifact_utils, standard_component_specs

from .. import artifact_io, progress
from ..class_weights import class_weights
from ..errors import UserError
from ..imbalance_detector.report import Imbalance
from ..names import TRAIN
from ..rebalancer.report import Rebalancing
from ..report import Kind
from .devices import describe
from .params import TrainerParams
from .record import RunRecord
from .report import Training


class Executor(tfx_executor.GenericExecutor):
    """Hands class weights to a run_fn, ours or the user's, and reports what was done."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs Trainer.

        Args:
          input_dict: as TFX's Trainer, and
            - imbalance_report: ImbalanceReport.
            - rebalance_report: RebalanceReport, or none.
          output_dict: as TFX's Trainer, and
            - report: TrainingReport.
          exec_properties: as TFX's Trainer, and
            - params: JSON of TrainerParams.

        Raises:
          UserError: the class weights do not fit the classes, or there is no transform graph.
        """
        if not input_dict.get(standard_component_specs.TRANSFORM_GRAPH_KEY):
            raise UserError("Trainer: no transform_graph is connected; our learners need one")
        started = time.monotonic()
        super().Do(input_dict, output_dict, exec_properties)
        params: TrainerParams = TrainerParams.from_property(exec_properties["params"])
        counts, weights = _weights(input_dict, params)
        record = RunRecord.read(
            artifact_utils.get_single_uri(output_dict[standard_component_specs.MODEL_RUN_KEY])
        ) or RunRecord(device=describe(), seconds=round(time.monotonic() - started, 3))
        weighted = params.class_weights.scheme != "none"
        # What a user's own code does with the weights is not known.
        kind: Kind = "none" if not weighted else "approximate" if params.run_fn else "prior_only"
        report = Training(
            learner=params.run_fn or params.learner,
            device=record.device,
            mixed_precision=record.mixed_precision,
            class_weights=weights,
            factors=weights,
            kind=kind,
            rows=sum(counts.values()),
            seconds=record.seconds,
            best_epoch=record.best_epoch,
            history=list(record.history),
        )
        artifact_io.write_report(output_dict, "report", report)

    def _GetFnArgs(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> FnArgs:
        fn_args = super()._GetFnArgs(input_dict, output_dict, exec_properties)
        params: TrainerParams = TrainerParams.from_property(exec_properties["params"])
        _, weights = _weights(input_dict, params)
        if "rebalance_report" in input_dict and params.class_weights.scheme == "explicit":
            progress.say("explicit class weights on top of resampling: both move the prior")
        fn_args.custom_config = {
            **(fn_args.custom_config or {}),
            "params": exec_properties["params"],
            "label": params.label,
            "weight": params.weight,
            "seed": params.seed,
            "classes": list(weights),
            "class_weights": dict(enumerate(weights.values())),
        }
        return fn_args


def _weights(
    input_dict: dict[str, list[types.Artifact]], params: TrainerParams
) -> tuple[dict[str, int], dict[str, float]]:
    """class -> rows the learner sees, and class -> weight, both in class order."""
    imbalance = artifact_io.read_report(input_dict, "imbalance_report", Imbalance)
    rebalancing = artifact_io.read_report_if_any(input_dict, "rebalance_report", Rebalancing)
    seen = rebalancing.after if rebalancing else imbalance.counts[TRAIN]
    counts = {name: seen[name] for name in imbalance.classes}
    return counts, class_weights(counts, params.class_weights)
