"""The form of TFMA's config; what it measures is tested with Gate."""

import json

import tensorflow_model_analysis as tfma

from tfx_imbalance.pipeline.evaluation import eval_config

try:
    from tensorflow_model_analysis.utils.config_util import update_eval_config_with_defaults
except ImportError:  # a name of TFMA's that TFX itself finds in either place
    update_eval_config_with_defaults = tfma.utils.update_eval_config_with_defaults


def test_candidate_and_baseline_read_the_label_by_the_models_own_signature():
    candidate, baseline = eval_config(weight="w").model_specs
    assert (candidate.name, candidate.is_baseline) == ("candidate", False)
    assert (baseline.name, baseline.is_baseline) == ("baseline", True)
    for spec in (candidate, baseline):
        assert spec.label_key == "label_index"
        assert list(spec.preprocessing_function_names) == ["label_index"]
        assert spec.example_weight_key == "w"


def test_evaluator_drops_the_baseline_where_it_has_none():
    config = eval_config()
    cold = update_eval_config_with_defaults(config, has_baseline=False, rubber_stamp=True)
    assert [spec.name for spec in cold.model_specs] == [""]
    warm = update_eval_config_with_defaults(config, has_baseline=True, rubber_stamp=True)
    assert [spec.name for spec in warm.model_specs] == ["candidate", "baseline"]


def test_slices_are_the_whole_the_columns_and_the_crosses():
    specs = eval_config(slices=("job", ("job", "town"))).slicing_specs
    assert [list(spec.feature_keys) for spec in specs] == [[], ["job"], ["job", "town"]]


def test_no_thresholds_are_set_since_gate_decides():
    config = eval_config()
    assert not tfma.metrics.metric_thresholds_from_metrics_specs(
        config.metrics_specs, eval_config=config
    )


def test_the_metric_carries_its_codes_fingerprint():
    metric = eval_config().metrics_specs[1].metrics[0]
    assert len(json.loads(metric.config)["code_fingerprint"]) == 64
