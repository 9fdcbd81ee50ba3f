"""Judges a candidate by its figures on test, and says why, a sentence for each gate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..champion.report import ChampionInfo
from ..errors import UserError
from ..metrics import LOWER_IS_BETTER
from .params import AbsoluteGate, GateParams, SliceGate
from .report import GateResult, Gating, SliceMetrics

_TOLERANCE = 1e-12  # bounds are computed in floating point: 0.4 - 0.005 is not quite 0.395
_SAID = {
    "absolute": "Absolute gate",
    "champion": "Champion gate",
    "slice": "Slice gate",
    "slice_champion": "Slice gate against the champion",
}


@dataclass(frozen=True)
class Measured:
    """What was measured on one slice of test.

    Attributes:
      values: (column, value) pairs that make the slice, by column; none: the whole of test.
      support: rows of each class, by class index.
      metrics: metric -> the candidate's value; NaN where it is undefined.
      champion_metrics: the same of the champion; None where there is none.
    """

    values: tuple[tuple[str, str], ...]
    support: tuple[int, ...]
    metrics: Mapping[str, float]
    champion_metrics: Mapping[str, float] | None = None

    @property
    def name(self) -> str:
        """'overall', 'column=value', or such pairs joined by ', '."""
        return ", ".join(f"{column}={value}" for column, value in self.values) or "overall"


@dataclass(frozen=True)
class _Check:
    """One bound on one metric."""

    gate: Literal["absolute", "champion", "slice", "slice_champion"]
    metric: str
    direction: Literal["min", "max"]
    bound: float | None = None
    max_loss: float | None = None


def decide(
    measured: Sequence[Measured],
    params: GateParams,
    champion: ChampionInfo,
    positive: int,
    model_fingerprint: str,
) -> Gating:
    """Judges a candidate.

    Args:
      measured: the slices of test; the first is the whole of it.
      params: the gates.
      champion: which model was pushed last.
      positive: index of the positive class; of more than two classes, of the smallest.
      model_fingerprint: the candidate's, to be compared with the champion's.

    Raises:
      UserError: there is a comparable champion, but it was not evaluated.
    """
    if champion.comparable and measured[0].champion_metrics is None:
        raise UserError(
            "Gate: the champion was not evaluated; give Evaluator ChampionLoader's output "
            "`model` as baseline_model"
        )
    results = judge(measured, params, champion, positive)
    compares = any(r.gate in ("champion", "slice_champion") for r in results)
    verdict: Literal["blessed", "blocked", "unchanged"]
    if model_fingerprint == champion.model_fingerprint:
        verdict = "unchanged"
        message = f"The candidate computes the same as the champion, {champion.message}."
    elif failed := [r for r in results if r.verdict == "fail"]:
        verdict = "blocked"
        message = f"{len(failed)} of {len(results)} gates failed: {failed[0].message}"
    elif compares and champion.version is not None and not champion.comparable:
        if params.on_incomparable == "block":
            verdict = "blocked"
            message = (
                f"The live model cannot be compared with: {champion.message}. It stays live; mend "
                "the data, or set gates.on_incomparable: bless to replace it without a comparison."
            )
        else:
            verdict = "blessed"
            message = (
                f"Without a comparison (gates.on_incomparable: bless), as {champion.message}: "
                f"{_why_blessed(results)}"
            )
    else:
        verdict = "blessed"
        message = _why_blessed(results)
    return Gating(
        verdict=verdict,
        message=message,
        champion_version=champion.version,
        results=results,
        slices=[
            SliceMetrics(
                slice=m.name,
                examples=sum(m.support),
                positives=m.support[positive],
                metrics=dict(m.metrics),
                champion_metrics=None if m.champion_metrics is None else dict(m.champion_metrics),
            )
            for m in measured
        ],
    )


def judge(
    measured: Sequence[Measured], params: GateParams, champion: ChampionInfo, positive: int
) -> list[GateResult]:
    """Each gate's result, in the order of the config; arguments as in `decide`."""
    overall = measured[0]
    checks = [check for gate in params.absolute for check in _bounds("absolute", gate)]
    checks += [_against_champion("champion", g.metric, g.max_loss) for g in params.champion]
    results = [_result(check, overall, champion, positive) for check in checks]
    for gate in params.slices:
        results += _slice_results(gate, measured, champion, positive)
    return results


def _slice_results(
    gate: SliceGate, measured: Sequence[Measured], champion: ChampionInfo, positive: int
) -> list[GateResult]:
    checks = _bounds("slice", gate)
    if gate.max_loss is not None:
        checks.append(_against_champion("slice_champion", gate.metric, gate.max_loss))
    found = {
        m.values[0][1]: m for m in measured if len(m.values) == 1 and m.values[0][0] == gate.column
    }
    nothing = Measured((), (0,) * len(measured[0].support), {})
    if not found and not gate.values:
        why = f"no row of test has a value in column {gate.column!r}"
        return [_skipped(check, gate.column, nothing, positive, why) for check in checks]
    results = []
    for value in gate.values or found:
        name, there = f"{gate.column}={value}", found.get(value, nothing)
        why = _too_small(gate, there, positive)
        results += [
            _skipped(check, name, there, positive, why)
            if why
            else _result(check, there, champion, positive)
            for check in checks
        ]
    return results


def _too_small(gate: SliceGate, there: Measured, positive: int) -> str:
    """Why a slice cannot be judged; '' where it can."""
    examples, positives = sum(there.support), there.support[positive]
    if not examples:
        return "test has no such row"
    if examples < gate.min_examples:
        return f"it has {examples} rows, min_examples is {gate.min_examples}"
    if positives < gate.min_positives:
        return f"it has {positives} positive rows, min_positives is {gate.min_positives}"
    return ""


def _bounds(gate: Literal["absolute", "slice"], given: AbsoluteGate) -> list[_Check]:
    bounds: tuple[tuple[Literal["min", "max"], float | None], ...] = (
        ("min", given.min),
        ("max", given.max),
    )
    return [
        _Check(gate, given.metric, direction, bound)
        for direction, bound in bounds
        if bound is not None
    ]


def _against_champion(
    gate: Literal["champion", "slice_champion"], metric: str, max_loss: float
) -> _Check:
    direction: Literal["min", "max"] = "max" if metric in LOWER_IS_BETTER else "min"
    return _Check(gate, metric, direction, max_loss=max_loss)


def _result(check: _Check, there: Measured, champion: ChampionInfo, positive: int) -> GateResult:
    """Judges one check on a slice that is large enough; an undefined metric fails overall."""
    value, bound, then = there.metrics[check.metric], check.bound, None
    compared = ""
    if check.max_loss is not None:
        if there.champion_metrics is None:
            return _skipped(check, there.name, there, positive, champion.message)
        then = there.champion_metrics[check.metric]
        bound = then + check.max_loss if check.direction == "max" else then - check.max_loss
        compared = f" (the champion's {_show(then)} with max_loss {check.max_loss:g})"
    assert bound is not None
    shown = _show(value)
    if math.isnan(value) or math.isnan(bound):
        if there.values:
            why = f"{check.metric} is undefined there, as a class has no rows"
            return _skipped(check, there.name, there, positive, why)
        passed = False
        shown, relation = "undefined, as a class has no rows", "so it cannot meet"
    elif check.direction == "min":
        passed = value >= bound - _TOLERANCE
        relation = "not below" if passed else "below"
    else:
        passed = value <= bound + _TOLERANCE
        relation = "not above" if passed else "above"
    return GateResult(
        gate=check.gate,
        metric=check.metric,
        slice=there.name,
        value=value,
        bound=bound,
        direction=check.direction,
        champion_value=then,
        examples=sum(there.support),
        positives=there.support[positive],
        verdict="pass" if passed else "fail",
        message=f"{_SAID[check.gate]}: {check.metric} on {there.name} is {shown}, "
        f"{relation} the bound {_show(bound)}{compared}.",
    )


def _skipped(check: _Check, name: str, there: Measured, positive: int, why: str) -> GateResult:
    value = there.metrics.get(check.metric)
    return GateResult(
        gate=check.gate,
        metric=check.metric,
        slice=name,
        value=value,
        bound=check.bound,
        direction=check.direction,
        champion_value=None,
        examples=sum(there.support),
        positives=there.support[positive],
        verdict="skipped",
        message=f"{_SAID[check.gate]}: {check.metric} on {name} was not judged: {why}.",
    )


def _why_blessed(results: Sequence[GateResult]) -> str:
    skipped = [r for r in results if r.verdict == "skipped"]
    passed = len(results) - len(skipped)
    if not results:
        return "No gate is configured, so the model is blessed."
    if not passed:
        return f"No gate could be judged, so the model is blessed: {skipped[0].message}"
    left_out = f", {len(skipped)} could not be judged" if skipped else ""
    return f"{passed} of {len(results)} gates passed{left_out}."


def _show(value: float) -> str:
    return f"{value:.5g}"
