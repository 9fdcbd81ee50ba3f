"""Reads what TFMA measured."""

from collections import defaultdict

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from ..errors import DataCheckError
from ..metrics import BINARY_METRICS
from .gates import Measured
from .scores_metric import SUPPORT

CANDIDATE, BASELINE = "candidate", "baseline"


def read_evaluation(uri: str) -> list[Measured]:
    """Figures of candidate and champion on each slice; the whole of test comes first.

    Args:
      uri: of Evaluator's ModelEvaluation, made with pipeline.evaluation.eval_config.

    Raises:
      DataCheckError: nothing was measured.
    """
    found = sorted((_measured(m) for m in tfma.load_metrics(uri)), key=lambda m: m.values)
    if not found or found[0].values or not sum(found[0].support):
        raise DataCheckError("Evaluator measured nothing: test has no labelled row")
    return found


def _measured(found: metrics_for_slice_pb2.MetricsForSlice) -> Measured:
    figures: defaultdict[str, dict[str, float]] = defaultdict(dict)
    support: dict[int, int] = {}
    for entry in found.metric_keys_and_values:
        key, value = entry.key, entry.value
        if key.is_diff or value.WhichOneof("type") != "double_value":
            continue
        if key.name == SUPPORT:
            support[key.sub_key.class_id.value] = int(value.double_value.value)
        elif key.name in BINARY_METRICS and not key.HasField("sub_key"):
            # TFMA names the only model of an evaluation ''.
            figures[key.model_name or CANDIDATE][key.name] = value.double_value.value
    return Measured(
        values=tuple((k.column, _text(k)) for k in found.slice_key.single_slice_keys),
        support=tuple(support[k] for k in sorted(support)),
        metrics=figures[CANDIDATE],
        champion_metrics=figures.get(BASELINE),
    )


def _text(key: metrics_for_slice_pb2.SingleSliceKey) -> str:
    kind = key.WhichOneof("kind")
    if kind == "bytes_value":
        return key.bytes_value.decode(errors="replace")
    return f"{getattr(key, kind):g}" if kind == "float_value" else str(getattr(key, kind))
