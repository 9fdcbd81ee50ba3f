"""What a user may say to Tuner."""

from typing import Any, Literal

from pydantic import Field

from ..names import Metric
from ..params import Params
from ..rebalancer.params import RebalanceParams
from ..trainer.params import TrainerParams


class TuneOptions(Params):
    """How the learner's hyperparameters are searched, by cross-validation within train."""

    enabled: bool = Field(False, description="search before training; Trainer takes the best")
    oracle: Literal["bayesian", "random"] = Field(
        "bayesian", description="who proposes: a Gaussian process after random trials, or chance"
    )
    trials: int = Field(
        20, ge=1, description="most trials; the first is the config as it stands, so 1 only judges"
    )
    seconds: float | None = Field(
        None, gt=0, description="no trial starts after so long, all runs of the search together"
    )
    folds: int = Field(5, ge=2, le=50, description="parts of train, each judged by the others")
    metric: Metric = Field("auc_pr", description="by which trials are compared")
    prune: bool = Field(
        True,
        description="a trial stops early when its first folds are worse than the median of the "
        "finished trials on the same folds",
    )
    nested: bool = Field(
        False,
        description="repeat the whole search within each of `folds` outer folds, for an honest "
        "estimate of what it finds; takes folds times as long again",
    )
    space: dict[str, tuple[Any, ...] | dict[str, Any]] = Field(
        {},
        description="path of a learner's parameter, such as mlp.dropout -> list of choices, or "
        "{min, max, log, step}; beside or instead of the learner's default ones",
    )


class TunerParams(TuneOptions):
    """Tuner's parameters."""

    trainer: TrainerParams
    rebalance: RebalanceParams = RebalanceParams()
