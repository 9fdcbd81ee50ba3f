"""What TFMA measures on test."""

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from ..components.fingerprint import code_fingerprint
from ..components.gate.evaluation_reader import BASELINE, CANDIDATE
from ..components.gate.scores_metric import ClassifierScores
from ..components.names import LABEL_INDEX

_CODE = ("tfx_imbalance.components.gate.scores_metric", "tfx_imbalance.components.metrics")


def eval_config(
    weight: str | None = None, slices: Sequence[str | tuple[str, ...]] = ()
) -> config_pb2.EvalConfig:
    """The config of TFX's Evaluator for a model that Calibrator wrote.

    It names a candidate and a baseline; Evaluator drops the baseline where it gets no baseline
    model. The classes need not be known: the model's signature `label_index` gives TFMA the true
    class's index. There are no thresholds: Gate decides.

    Args:
      weight: float feature with the sample weight.
      slices: columns by whose values test is cut; a tuple of columns cuts by all of them at once.
    """
    config = config_pb2.EvalConfig()
    config.options.include_default_metrics.value = False
    for name in (CANDIDATE, BASELINE):
        config.model_specs.add(
            name=name,
            is_baseline=name == BASELINE,
            model_type="tf_generic",
            signature_name="serving_default",
            preprocessing_function_names=[LABEL_INDEX],
            label_key=LABEL_INDEX,
            example_weight_key=weight or "",
        )
    config.slicing_specs.add()
    for columns in slices:
        config.slicing_specs.add(feature_keys=[columns] if isinstance(columns, str) else columns)
    config.metrics_specs.add(
        metrics=[{"class_name": "ExampleCount"}], example_weights={"unweighted": True}
    )
    config.metrics_specs.add(
        metrics=[
            {
                "class_name": ClassifierScores.__name__,
                "module": ClassifierScores.__module__,
                "config": json.dumps({"code_fingerprint": code_fingerprint(*_CODE)}),
            }
        ]
    )
    return config
