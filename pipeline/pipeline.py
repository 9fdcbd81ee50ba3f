"""The DAG: one function, the same for every orchestrator."""

from collections.abc import Iterable
from dataclasses import dataclass

import tensorflow_data_validation as tfdv
from tfx import v1 as tfx
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import ConnectionConfigType
from tfx.proto import transform_pb2
from tfx.types import Channel
from tfx_bsl.public.proto import slicing_spec_pb2

from ..components.calibrator.component import Calibrator
from ..components.champion.component import ChampionLoader
from ..components.drift_check.component import DriftCheck
from ..components.example_gen.component import StratifiedExampleGen
from ..components.fingerprint import code_fingerprint
from ..components.gate.component import Gate
from ..components.imbalance_detector.component import ImbalanceDetector
from ..components.names import BOOKKEEPING, SPLITS, TEST, TRAIN, VAL
from ..components.pusher.component import Pusher
from ..components.rebalancer.component import Rebalancer
from ..components.reporter.component import Reporter
from ..components.reporter.params import RunContext
from ..components.trainer.component import Trainer
from ..components.tuner.component import Tuner
from .config import Config
from .evaluation import eval_config
from .preprocessing import transform_config

PREPROCESSING_FN = "tfx_imbalance.pipeline.preprocessing.preprocessing_fn"
RANK_HISTOGRAM_BUCKETS = 1000
"""Classes and slice values are counted exactly up to this many."""


@dataclass(frozen=True)
class Facts:
    """What is known about the data and the registry when the DAG is built.

    Attributes:
      columns: the data's columns that are features, label or weight.
      champion_version: newest version in the registry; '' for none; None where the registry is
        not in reach, so that ChampionLoader finds it.
      context: what Reporter tells about the run.
      run_id: the orchestrator's placeholder for the run's id, where `context` cannot know it.
    """

    columns: tuple[str, ...]
    context: RunContext
    champion_version: str | None = ""
    run_id: str | None = None


def create_pipeline(
    config: Config,
    facts: Facts,
    *,
    pipeline_root: str,
    serving_dir: str | RuntimeParameter,
    data_path: str | RuntimeParameter | None = None,
    span: RuntimeParameter | None = None,
    metadata: ConnectionConfigType | None = None,
    beam_args: Iterable[str] = (),
) -> tfx.dsl.Pipeline:
    """Builds the pipeline that the config describes.

    Args:
      config: the checked config.
      facts: what is known of data and registry beforehand.
      pipeline_root: where artifacts go.
      serving_dir: registry folder of pushed models.
      data_path: instead of `config.data.path`.
      span: which span to read, as text; the newest when not given.
      metadata: connection to ML Metadata; None where the orchestrator has its own.
      beam_args: the runner and its options for every Beam node for which `config.beam` names none.
    """
    example_gen = StratifiedExampleGen(
        path=data_path or config.data.path, params=config.ingest, only_span=span
    )
    raw = example_gen.outputs["examples"]

    statistics_gen = tfx.components.StatisticsGen(
        examples=raw, stats_options=_stats_options(config, facts.columns)
    )
    statistics = statistics_gen.outputs["statistics"]

    schema_gen = (
        tfx.components.ImportSchemaGen(schema_file=config.data.schema_file)
        if config.data.schema_file
        else tfx.components.SchemaGen(
            statistics=statistics, exclude_splits=[s for s in SPLITS if s != TRAIN]
        )
    )
    schema = schema_gen.outputs["schema"]
    validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)

    detector = ImbalanceDetector(
        statistics=statistics,
        schema=schema,
        examples=raw,
        anomalies=validator.outputs["anomalies"],
        params=config.detector,
    )
    imbalance_report = detector.outputs["report"]

    transform = tfx.components.Transform(
        examples=raw,
        schema=detector.outputs["checked_schema"],
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=[TRAIN], transform=[TRAIN, VAL]),
        custom_config={
            **transform_config(
                config.preprocessing, label=config.data.label, weight=config.data.weight
            ),
            "code_fingerprint": _preprocessing_fingerprint(config),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    examples = transform.outputs["transformed_examples"]
    transform_graph = transform.outputs["transform_graph"]
    nodes: list[BaseComponent] = [
        example_gen,
        statistics_gen,
        schema_gen,
        validator,
        detector,
        transform,
    ]

    tuning_report: Channel | None = None
    hyperparameters: Channel | None = None
    if config.tune.enabled:
        tuner = Tuner(
            examples=examples,
            transform_graph=transform_graph,
            imbalance_report=imbalance_report,
            raw_examples=raw if config.data.group_by else None,
            params=config.tuner,
        )
        hyperparameters = tuner.outputs["best_hyperparameters"]
        tuning_report = tuner.outputs["report"]
        nodes.append(tuner)

    rebalance_report: Channel | None = None
    if config.rebalance.acts:
        rebalancer = Rebalancer(
            examples=examples,
            transform_graph=transform_graph,
            imbalance_report=imbalance_report,
            params=config.rebalancer,
            weight=config.data.weight,
        )
        examples, rebalance_report = rebalancer.outputs["examples"], rebalancer.outputs["report"]
        nodes.append(rebalancer)

    champion = ChampionLoader(
        imbalance_report=imbalance_report,
        examples=raw,
        schema=detector.outputs["checked_schema"],
        registry_dir=serving_dir,
        version=facts.champion_version,
    )
    trainer = Trainer(
        examples=examples,
        transform_graph=transform_graph,
        schema=detector.outputs["checked_schema"],
        imbalance_report=imbalance_report,
        rebalance_report=rebalance_report,
        hyperparameters=hyperparameters,
        # Without it nothing that trains depends on an earlier run, so that TFX's cache holds.
        base_model=champion.outputs["model"] if config.train.warm_start else None,
        params=config.trainer,
    )
    calibrator = Calibrator(
        model=trainer.outputs["model"],
        examples=raw,
        imbalance_report=imbalance_report,
        rebalance_report=rebalance_report,
        training_report=trainer.outputs["report"],
        statistics=statistics,
        params=config.calibrator,
    )
    model = calibrator.outputs["model"]
    evaluator = tfx.components.Evaluator(
        examples=raw,
        model=model,
        baseline_model=champion.outputs["model"],
        eval_config=eval_config(weight=config.data.weight, slices=config.slices),
        example_splits=[TEST],
    )
    gate = Gate(
        evaluation=evaluator.outputs["evaluation"],
        model=model,
        calibration_report=calibrator.outputs["report"],
        imbalance_report=imbalance_report,
        champion=champion.outputs["champion"],
        params=config.gates,
    )
    pusher = Pusher(model=model, model_blessing=gate.outputs["blessing"], serving_dir=serving_dir)
    drift = DriftCheck(
        statistics=statistics,
        imbalance_report=imbalance_report,
        champion=champion.outputs["champion"],
        champion_statistics=champion.outputs["statistics"],
        params=config.drift,
    )
    reporter = Reporter(
        imbalance_report=imbalance_report,
        rebalance_report=rebalance_report,
        tuning_report=tuning_report,
        training_report=trainer.outputs["report"],
        calibration_report=calibrator.outputs["report"],
        gate_report=gate.outputs["report"],
        drift_report=drift.outputs["report"],
        champion=champion.outputs["champion"],
        model=model,
        examples=raw,
        pushed_model=pusher.outputs["pushed_model"],
        context=facts.context,
        run_id=facts.run_id,
    )
    nodes += [trainer, calibrator, champion, evaluator, gate, pusher, drift, reporter]
    _set_beam_options(nodes, config, tuple(beam_args))
    return tfx.dsl.Pipeline(
        pipeline_name=config.name,
        pipeline_root=pipeline_root,
        components=nodes,
        enable_cache=True,
        metadata_connection_config=metadata,
    )


def _stats_options(config: Config, columns: tuple[str, ...]) -> tfdv.StatsOptions:
    slicing = None
    if config.checks.slices:
        slicing = slicing_spec_pb2.SlicingConfig()
        for column in config.checks.slices:
            slicing.slicing_specs.add(feature_keys=[column])
    return tfdv.StatsOptions(
        feature_allowlist=[column for column in columns if column not in BOOKKEEPING],
        num_rank_histogram_buckets=RANK_HISTOGRAM_BUCKETS,
        num_quantiles_histogram_buckets=100,  # with fewer, DriftCheck sees drift that is chance
        slicing_config=slicing,
    )


def _preprocessing_fingerprint(config: Config) -> str:
    modules = ["tfx_imbalance.pipeline.preprocessing", "tfx_imbalance.pipeline.number_figures"]
    if config.preprocessing.fn:
        modules.append(config.preprocessing.fn.rpartition(".")[0])
    return code_fingerprint(*modules)


def _set_beam_options(
    nodes: Iterable[BaseComponent], config: Config, beam_args: tuple[str, ...]
) -> None:
    for node in nodes:
        if isinstance(node, BaseBeamComponent):
            own = config.beam.nodes.get(node.id, ())  # type: ignore[call-overload]
            chosen = [*config.beam.default, *own]
            if not any(option.startswith("--runner") for option in chosen):
                chosen = [*beam_args, *chosen]
            node.with_beam_pipeline_args(chosen)
