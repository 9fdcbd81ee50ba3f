"""What a run that ended early has left, gathered for its page."""

from collections.abc import Sequence
from typing import Any, TypeVar

from ...components.artifact_io import read_report
from ...components.calibrator.report import Calibration
from ...components.champion.report import ChampionInfo
from ...components.drift_check.report import Drift
from ...components.gate.report import Gating
from ...components.imbalance_detector.errors import ImbalanceCheckFailed
from ...components.imbalance_detector.report import Imbalance
from ...components.rebalancer.report import Rebalancing
from ...components.report import Report
from ...components.reporter.params import RunContext
from ...components.reporter.report import Outcome
from ...components.reporter.summary import NodeRun, RunInputs
from ...components.trainer.report import Training
from ...components.tuner.report import Tuning

R = TypeVar("R", bound=Report)


def run_inputs(
    context: RunContext,
    outcome: Outcome,
    error: tuple[str, str],
    cause: BaseException,
    outputs: dict[str, dict[str, list[Any]]],
    timings: Sequence[NodeRun],
) -> RunInputs:
    """Gathers the reports of the nodes that ended.

    Args:
      context: which run this is.
      outcome: how it ended.
      error: node and message of what ended it.
      cause: the exception; a failed data check carries the report that could not be published.
      outputs: node -> output key -> artifacts.
      timings: the nodes that ended.
    """

    def report(node: str, kind: type[R], key: str = "report") -> R | None:
        return read_report(outputs[node], key, kind) if node in outputs else None

    return RunInputs(
        name=context.name,
        run_id=context.run_id,
        outcome=outcome,
        imbalance=cause.report
        if isinstance(cause, ImbalanceCheckFailed)
        else report("ImbalanceDetector", Imbalance),
        rebalancing=report("Rebalancer", Rebalancing),
        tuning=report("Tuner", Tuning),
        training=report("Trainer", Training),
        calibration=report("Calibrator", Calibration),
        gating=report("Gate", Gating),
        drift=report("DriftCheck", Drift),
        champion=report("ChampionLoader", ChampionInfo, "champion"),
        timings=timings,
        versions=context.versions,
        seed=context.seed,
        config=context.config,
        error=error,
    )
