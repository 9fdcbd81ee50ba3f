"""The search: keras_tuner's oracles propose, cross-validation judges.

A killed search goes on: what each fit scored is kept, and a rerun, whose oracle proposes the same
again, finds it there.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import keras_tuner
import numpy as np
import tensorflow as tf

from .. import progress
from ..errors import UserError
from ..metrics import LOWER_IS_BETTER
from ..trainer.hyperparameters import decoded, encoded, overridden
from ..trainer.input import Rows
from .folds import stratified
from .judge import Bench, NotFinite
from .params import TunerParams
from .parts import Part, training_part
from .report import FoldScore, Nested, OuterFold, Trial
from .space import Choices, Dimension, baseline

Values = dict[str, Any]
Stopped = Literal["trials", "seconds", "space exhausted"]

PRUNE_AFTER = 2
"""Folds that every trial is judged on before it may be stopped."""
PRUNE_AMONG = 4
"""Finished trials that there must be before one is stopped."""
HELD_BYTES = 1 << 30
"""Rebalanced parts are kept between trials up to so much."""


@dataclass
class Ledger:
    """What fits scored, in a folder that outlives the process.

    Attributes:
      folder: local or remote.
      found: fits whose score was there already.
      seconds: of all fits that were asked for.
    """

    folder: str
    found: int = 0
    seconds: float = 0.0
    _asked: set[str] = field(default_factory=set)

    def score(
        self, scope: str, values: Values, fold: int, fit: Callable[[], FoldScore]
    ) -> FoldScore:
        """The score of a fit, done now if it was not before."""
        said = json.dumps(values, sort_keys=True)
        name = f"{scope}-{hashlib.sha256(said.encode()).hexdigest()[:24]}-{fold}"
        path = f"{self.folder}/{name}.json"
        there = tf.io.gfile.exists(path)
        if there:
            with tf.io.gfile.GFile(path) as file:
                score = FoldScore.model_validate_json(file.read())
        else:
            score = fit()
            tf.io.gfile.makedirs(self.folder)
            with tf.io.gfile.GFile(f"{path}.partial", "w") as file:
                file.write(score.model_dump_json())
            tf.io.gfile.rename(f"{path}.partial", path, overwrite=True)
        if name not in self._asked:
            self._asked.add(name)
            self.found += there
            self.seconds += score.seconds
        return score


class Validator:
    """Judges hyperparameters on the folds of some rows of train.

    Args:
      bench: see there.
      train: all rows of train, never rebalanced.
      units: int64 [n], see `folds.row_units`.
      chosen: int64 [m], the rows of train that there are here.
      params: folds, learner, rebalancing, seed.
      ledger: of scores.
      scope: tells the ledger these rows from others.
    """

    def __init__(
        self,
        bench: Bench,
        train: Rows,
        units: np.ndarray,
        chosen: np.ndarray,
        params: TunerParams,
        ledger: Ledger,
        scope: str,
    ) -> None:
        self.params, self.ledger = params, ledger
        self._bench, self._train, self._units = bench, train, units
        self._chosen, self._scope = chosen, scope
        self.fold = stratified(
            units[chosen],
            train.labels[chosen],
            bench.classes,
            params.folds,
            params.trainer.seed,
            f"folds/{scope}",
        )
        self._parts: dict[int, Part] = {}

    def score(self, values: Values, fold: int) -> FoldScore:
        """Fits on the other folds, rebalanced, and judges on this one as it is."""

        def fit() -> FoldScore:
            held_out = self._train.take(self._chosen[self.fold == fold])
            trainer = overridden(self.params.trainer, values)
            return self._bench.judged(self.part(fold), held_out, trainer)

        return self.ledger.score(self._scope, values, fold, fit)

    def part(self, fold: int) -> Part:
        """What the learner sees where this fold is judged on."""
        if fold in self._parts:
            return self._parts[fold]
        part = training_part(
            self._train,
            self._chosen[self.fold != fold],
            self._bench.features,
            self._bench.classes,
            self.params.rebalance,
        )
        if self.params.folds * _bytes(part) <= HELD_BYTES:
            self._parts[fold] = part
        return part

    def within(self, fold: int) -> "Validator":
        """The same on the rows outside a fold."""
        chosen = self._chosen[self.fold != fold]
        return Validator(
            self._bench,
            self._train,
            self._units,
            chosen,
            self.params,
            self.ledger,
            f"{self._scope}.{fold}",
        )

    def counts(self) -> list[dict[str, int]]:
        """For each fold class -> rows."""
        labels, classes = self._train.labels[self._chosen], self._bench.classes
        return [
            {name: int((labels[self.fold == k] == code).sum()) for code, name in enumerate(classes)}
            for k in range(self.params.folds)
        ]


def _bytes(part: Part) -> int:
    rows = part.rows
    return sum(a.nbytes for a in (rows.numbers, rows.categories, rows.labels, rows.weights))


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
      trials: in the order in which they ran.
      best: the completed one with the best mean; of equal ones the first.
      stopped: what ended the search.
    """

    trials: list[Trial]
    best: Trial
    stopped: Stopped


def search(
    validator: Validator,
    space: Mapping[str, Dimension],
    seconds: float | None = None,
    where: str = "",
) -> Found:
    """Tries hyperparameters until the trials, the time or the space are used up.

    The first trial has the config's own values, as far as the space has them.

    Args:
      validator: judges.
      space: path -> values.
      seconds: no trial starts after so long, counting what the ledger has; None: no limit.
      where: begins each progress line.

    Raises:
      UserError: every trial failed; says why the last one did.
    """
    params = validator.params
    first = baseline(space, params.trainer)
    start = validator.ledger.seconds
    tuner: _Tuner

    def late() -> bool:
        spent = validator.ledger.seconds - start
        return seconds is not None and bool(tuner.trials) and spent >= seconds

    with tempfile.TemporaryDirectory() as scratch:
        oracle = _oracle(space, first, params, late)
        tuner = _Tuner(oracle, validator, where, scratch)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
    trials = tuner.trials
    best = tuner.best()
    if best is None:
        raise UserError(f"Tuner: every trial failed; the last one: {trials[-1].message}")
    stopped: Stopped = "trials"
    if len(trials) < params.trials:
        stopped = "seconds" if late() else "space exhausted"
    return Found(trials, best, stopped)


def nested(
    validator: Validator, space: Mapping[str, Dimension], seconds: float | None = None
) -> Nested:
    """Searches anew without each fold, and judges each winner on the fold that it never saw.

    Args:
      validator: of the outer folds.
      space: path -> values.
      seconds: of each of the searches.
    """
    folds = []
    for k in range(validator.params.folds):
        where = f"outer fold {k + 1}/{validator.params.folds}, "
        best = search(validator.within(k), space, seconds, where).best
        score = validator.score(as_proposed(best), k)
        metric = validator.params.metric
        progress.say(f"{where}winner judged: {metric} {score.metrics[metric]:.4f}")
        folds.append(
            OuterFold(
                hyperparameters=best.hyperparameters, inner_mean=best.mean or 0.0, score=score
            )
        )
    mean, std = spread([fold.score for fold in folds])
    return Nested(mean=mean, std=std, folds=folds)


def spread(scores: list[FoldScore]) -> tuple[dict[str, float], dict[str, float]]:
    """metric -> mean and standard deviation (n - 1) over folds, of at least two."""
    table = {name: [s.metrics[name] for s in scores] for name in scores[0].metrics}
    return (
        {name: float(np.mean(values)) for name, values in table.items()},
        {name: float(np.std(values, ddof=1)) for name, values in table.items()},
    )


def hyperparameters(
    space: Mapping[str, Dimension], values: Mapping[str, Any]
) -> keras_tuner.HyperParameters:
    """The space as keras_tuner has it, with `values` as defaults and as the current ones."""
    made = keras_tuner.HyperParameters()
    for path, dimension in space.items():
        if isinstance(dimension, Choices):
            if len(dimension.values) == 1:
                made.Fixed(path, dimension.values[0])
            else:
                made.Choice(path, list(dimension.values), default=values[path])
            continue
        kind = made.Int if dimension.whole else made.Float
        more = {} if dimension.step is None else {"step": dimension.step}
        kind(
            path,
            dimension.low,
            dimension.high,
            sampling="log" if dimension.log else "linear",
            default=values[path],
            **more,
        )
    made.values = dict(values)
    return made


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Runs one trial after the other: fold by fold, until it is done or pruned."""

    def __init__(
        self, oracle: keras_tuner.Oracle, validator: Validator, where: str, scratch: str
    ) -> None:
        super().__init__(oracle, directory=scratch, project_name="search", overwrite=True)
        self.trials: list[Trial] = []
        self._validator, self._where = validator, where
        metric = validator.params.metric
        self._metric, self._sign = metric, -1 if metric in LOWER_IS_BETTER else 1

    def run_trial(self, trial: Any) -> dict[str, float]:
        """The mean of the metric over the folds that the trial went through."""
        try:
            done = self._judged(dict(trial.hyperparameters.values))
        except Exception as error:  # keras_tuner would go on after it
            raise keras_tuner.errors.FatalError(str(error)) from error
        self.trials.append(done)
        self._tell(done)
        if done.status == "failed" or done.mean is None:
            raise keras_tuner.errors.FailedTrialError(done.message)
        return {self._metric: done.mean}

    def best(self) -> Trial | None:
        """Of the completed trials; None where there is none."""
        done = [trial for trial in self.trials if trial.status == "completed"]
        return max(done, key=lambda t: (self._sign * (t.mean or 0.0), -t.number), default=None)

    def _judged(self, values: Values) -> Trial:
        folds: list[FoldScore] = []
        said: dict[str, Any] = {"status": "completed", "message": ""}
        n = self._validator.params.folds
        try:
            overridden(self._validator.params.trainer, values)
        except UserError as error:  # each value is allowed, but not all of them together
            said, n = {"status": "failed", "message": str(error)}, 0
        for k in range(n):
            try:
                folds.append(self._validator.score(values, k))
            except (NotFinite, MemoryError, tf.errors.ResourceExhaustedError) as error:
                said = {"status": "failed", "message": f"fold {k + 1}: {error or 'out of memory'}"}
                break
            if not np.isfinite(folds[-1].metrics[self._metric]):
                said = {
                    "status": "failed",
                    "message": f"fold {k + 1}: {self._metric} is undefined",
                }
                break
            if why := self._hopeless(folds):
                said = {"status": "pruned", "message": why}
                break
        figures = [fold.metrics[self._metric] for fold in folds]
        return Trial(
            number=len(self.trials) + 1,
            hyperparameters={path: decoded(value) for path, value in values.items()},
            folds=folds,
            mean=float(np.mean(figures)) if figures else None,
            std=float(np.std(figures, ddof=1)) if len(figures) > 1 else None,
            **said,
        )

    def _hopeless(self, folds: list[FoldScore]) -> str:
        """Why the trial is stopped here; '' where it goes on.

        The median stopping rule (Golovin et al., "Google Vizier: A Service for Black-Box
        Optimization", KDD 2017, section 3.2.2), a fold being a step: a trial ends when its mean
        so far is worse than the median of the completed trials' means over the same folds.
        """
        params, n = self._validator.params, len(folds)
        done = [trial for trial in self.trials if trial.status == "completed"]
        if not params.prune or not PRUNE_AFTER <= n < params.folds or len(done) < PRUNE_AMONG:
            return ""
        mine = self._mean(folds)
        median = float(np.median([self._mean(trial.folds[:n]) for trial in done]))
        if self._sign * mine >= self._sign * median:
            return ""
        return f"stopped after {n} folds: the median of the finished trials is {median:.4f} there"

    def _mean(self, folds: list[FoldScore]) -> float:
        return float(np.mean([fold.metrics[self._metric] for fold in folds]))

    def _tell(self, done: Trial) -> None:
        params = self._validator.params
        figure = "" if done.mean is None else f"{self._metric} {done.mean:.4f}"
        if done.std is not None:
            figure += f" ± {done.std:.4f}"
        best = self.best()
        known = f"  best {best.mean:.4f} (trial {best.number})" if best and best.mean else ""
        tried = ", ".join(f"{path} {_short(v)}" for path, v in done.hyperparameters.items())
        progress.say(
            f"{self._where}trial {done.number}/{params.trials}  {figure}"
            f"{f'  {done.message}' if done.message else ''}{known}  {tried}"
        )


def _oracle(
    space: Mapping[str, Dimension], first: Values, params: TunerParams, late: Callable[[], bool]
) -> keras_tuner.Oracle:
    free = sum(not isinstance(d, Choices) or len(d.values) > 1 for d in space.values())
    lower = params.metric in LOWER_IS_BETTER
    arguments: dict[str, Any] = {
        "objective": keras_tuner.Objective(params.metric, "min" if lower else "max"),
        "max_trials": params.trials,
        "hyperparameters": hyperparameters(space, first),
        "seed": params.trainer.seed + 1,  # keras_tuner takes 0 for none
        "max_consecutive_failed_trials": params.trials + 1,
    }
    oracle: keras_tuner.Oracle
    if params.oracle == "random" or not free:
        oracle = _Random(**arguments)
    else:
        # keras_tuner's default is three times the dimensions, which few trials leave no room for.
        random = min(3 * free, max(params.trials // 3, 3))
        oracle = _Bayesian(**arguments, num_initial_points=random)
    oracle.first, oracle.late, oracle.verbose = first, late, 0
    return oracle


class _Guided:
    """Of an oracle: the first trial is given, none is proposed twice, none is proposed late."""

    first: Values
    late: Callable[[], bool]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """keras_tuner's hook."""
        tried = [trial.hyperparameters.values for trial in self.trials.values()]  # type: ignore[attr-defined]
        if self.late():
            return {"status": "STOPPED", "values": None}
        if not tried:
            return {"status": "RUNNING", "values": dict(self.first)}
        proposed = super().populate_space(trial_id)  # type: ignore[misc]
        if proposed["values"] in tried:
            proposed = keras_tuner.oracles.RandomSearchOracle.populate_space(self, trial_id)
        return dict(proposed)


class _Random(_Guided, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Bayesian(_Guided, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


def as_proposed(trial: Trial) -> Values:
    """Path -> value as keras_tuner has it."""
    return {path: encoded(value) for path, value in trial.hyperparameters.items()}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
