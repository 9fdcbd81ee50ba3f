"""This data against the champion's: the class prior, and every feature by TFDV's distances."""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from ..champion.report import ChampionInfo
from ..imbalance_detector.checks import percent, shares
from ..imbalance_detector.counts import LabelCounts, Statistics, label_counts, overall
from ..imbalance_detector.report import Imbalance
from ..names import BOOKKEEPING, TRAIN
from .params import DriftParams
from .report import Drift, FeatureDrift

Level = Literal["ok", "warn", "search"]
Finding = tuple[Level, str]
_LEVELS: tuple[Level, ...] = ("ok", "warn", "search")

_STANDARD_ERRORS = 3
"""A change of the prior within this many standard errors is chance."""


class _Kind(NamedTuple):
    """How features of one kind are compared."""

    noun: str
    measure: Literal["jensen_shannon_divergence", "l_infinity"]
    comparator: str


_KINDS = {
    "num_stats": _Kind("numbers", "jensen_shannon_divergence", "jensen_shannon_divergence"),
    "string_stats": _Kind("categories", "l_infinity", "infinity_norm"),
}

_Kinds = dict[str, _Kind | None]

_SCHEMA_TYPES = {
    statistics_pb2.FeatureNameStatistics.INT: schema_pb2.INT,
    statistics_pb2.FeatureNameStatistics.FLOAT: schema_pb2.FLOAT,
    statistics_pb2.FeatureNameStatistics.STRING: schema_pb2.BYTES,
    statistics_pb2.FeatureNameStatistics.BYTES: schema_pb2.BYTES,
}


def compare(
    now: Statistics,
    then: Statistics | None,
    imbalance: Imbalance,
    champion: ChampionInfo,
    params: DriftParams,
) -> Drift:
    """Judges how far train has moved since the champion was trained. Never raises for drift.

    Args:
      now: statistics of today's train split.
      then: statistics of the champion's train split; None where there are none.
      imbalance: today's report.
      champion: which model was pushed last.
      params: the bounds.
    """
    prior_now = shares(imbalance.counts[TRAIN])
    if then is None:
        message = (
            f"the champion {champion.version} has no statistics of its data to compare with"
            if champion.comparable
            else f"nothing to compare with: {champion.message}"
        )
        return Drift(
            champion_version=champion.version,
            prior_then={},
            prior_now=prior_now,
            prior_change=None,
            features=[],
            new_features=[],
            missing_features=[],
            verdict="no champion",
            messages=[message],
        )
    before = label_counts(overall(then), imbalance.label)
    change, findings = _prior(imbalance, before, params)
    kinds_now, kinds_then = _kinds(now, imbalance.label), _kinds(then, imbalance.label)
    new = sorted(kinds_now.keys() - kinds_then.keys())
    missing = sorted(kinds_then.keys() - kinds_now.keys())
    if new:
        findings.append(("warn", f"features that the champion does not know: {', '.join(new)}"))
    if missing:
        findings.append(("warn", f"features of the champion that are gone: {', '.join(missing)}"))
    findings += _changed_kinds(kinds_now, kinds_then)
    same = {name: kind for name, kind in kinds_now.items() if kind and kind == kinds_then.get(name)}
    features = _features(now, then, same, params)
    findings += [(f.level, _in_words(f, params)) for f in features if f.level != "ok"]
    verdict: Level = max((level for level, _ in findings), key=_LEVELS.index, default="ok")
    messages = [message for _, message in findings]
    if verdict == "ok":
        messages.append(f"prior and {len(features)} features are within bounds")
    if verdict == "search":
        messages.append("the data moved far: search anew for learner and rebalancing")
    return Drift(
        champion_version=champion.version,
        prior_then=shares(before.counts),
        prior_now=prior_now,
        prior_change=change,
        features=features,
        new_features=new,
        missing_features=missing,
        verdict=verdict,
        messages=messages,
    )


def _prior(
    imbalance: Imbalance, before: LabelCounts, params: DriftParams
) -> tuple[float | None, list[Finding]]:
    """Relative change of the minority's share, and what is worth saying about the classes."""
    if before.problem or not before.labelled:
        problem = before.problem or f"no value of {imbalance.label!r}"
        return None, [("warn", f"the champion's class prior cannot be compared: {problem}")]
    findings: list[Finding] = []
    then, now = before.counts, imbalance.counts[TRAIN]
    if appeared := [c for c in now if c not in then]:
        words = f"classes that the champion's train did not have: {', '.join(appeared)}"
        findings.append(("search", words))
    if gone := [c for c in then if not now.get(c)]:
        words = f"classes of the champion that train no longer has: {', '.join(gone)}"
        findings.append(("search", words))
    name = imbalance.minority
    was, is_ = shares(then).get(name, 0.0), shares(now)[name]
    if not was:
        return None, findings
    change = (is_ - was) / was
    level = _level(abs(change), params.prior_warn, params.prior_search)
    if level != "ok":
        words = f"class {name} went from {percent(was)} to {percent(is_)} of train ({change:+.1%})"
        if abs(is_ - was) <= _STANDARD_ERRORS * _standard_error(name, now, then):
            level, words = "ok", f"{words}, which chance can make with so few rows"
        findings.append((level, words))
    return change, findings


def _standard_error(name: str, a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Of the difference of the class's two shares, were both drawn from one population."""
    rows_a, rows_b = sum(a.values()), sum(b.values())
    pooled = (a[name] + b[name]) / (rows_a + rows_b)
    return math.sqrt(pooled * (1 - pooled) * (1 / rows_a + 1 / rows_b))


def _changed_kinds(now: _Kinds, then: _Kinds) -> list[Finding]:
    findings: list[Finding] = []
    for name in sorted(now.keys() & then.keys()):
        is_, was = now[name], then[name]
        if is_ and was and is_ != was:
            findings.append(("search", f"{name} held {was.noun} and holds {is_.noun} now"))
        elif is_ != was:
            when = "now" if was else "in the champion's train"
            findings.append(("warn", f"{name} cannot be compared: it has no value {when}"))
    return findings


def _kinds(statistics: Statistics, label: str) -> _Kinds:
    """Feature -> how it is compared; None where it has no value. Label and identity left out."""
    kinds: _Kinds = {}
    for feature in overall(statistics).features:
        kind = feature.WhichOneof("stats")
        if len(feature.path.step) != 1 or feature.path.step[0] in (label, *BOOKKEEPING):
            continue
        if kind in _KINDS:
            has_values = getattr(feature, kind).common_stats.num_non_missing > 0
            kinds[feature.path.step[0]] = _KINDS[kind] if has_values else None
    return kinds


def _features(
    now: Statistics, then: Statistics, kinds: dict[str, _Kind], params: DriftParams
) -> list[FeatureDrift]:
    """Distances as TFDV measures them, the largest first.

    Of numbers' two histograms the quantiles serve: with the other one, of equal widths, two halves
    of one skewed column were 0.54 apart, for a single outlier stretches every bucket.
    """
    sides = [{f.path.step[0]: f for f in overall(s).features if f.path.step} for s in (now, then)]
    schema = schema_pb2.Schema()
    for name, kind in kinds.items():
        feature = schema.feature.add(name=name, type=_SCHEMA_TYPES[sides[0][name].type])
        comparator = getattr(feature.drift_comparator, kind.comparator)
        comparator.threshold = params.feature_warn
        if kind.comparator == "jensen_shannon_divergence":
            comparator.source.type = schema_pb2.HistogramSelection.QUANTILES
    measured = tfdv.validate_statistics(
        _single(now), schema, previous_statistics=_single(then)
    ).drift_skew_info
    drifts = []
    for info in measured:
        name = info.path.step[0]
        chance = _chance(*(side[name] for side in sides))
        drifts += [
            FeatureDrift(
                feature=name,
                measure=kinds[name].measure,
                distance=measurement.value,
                chance=chance,
                level=_level(
                    measurement.value - chance, params.feature_warn, params.feature_search
                ),
            )
            for measurement in info.drift_measurements
        ]
    return sorted(drifts, key=lambda drift: (-drift.distance, drift.feature))


def _chance(*sides: statistics_pb2.FeatureNameStatistics) -> float:
    """Distance to expect between two samples of one population.

    Jensen-Shannon divergence in bits of two histograms of k buckets, n and m rows: times
    8 ln 2 / (1/n + 1/m) it is a chi-square of k - 1 degrees of freedom (Grosse et al., "Analysis
    of symbolic sequences using the Jensen-Shannon divergence", Phys. Rev. E 65, 2002).
    L-infinity: mean absolute value of the difference of two shares of 1/2, the widest one.
    """
    stats = [getattr(side, side.WhichOneof("stats")) for side in sides]
    inverse = sum(1 / s.common_stats.num_non_missing for s in stats)
    if sides[0].WhichOneof("stats") == "string_stats":
        return math.sqrt(inverse / (2 * math.pi))
    sizes = [len(h.buckets) for s in stats for h in s.histograms if h.type == h.QUANTILES]
    return (max(sizes, default=1) - 1) * inverse / (8 * math.log(2))


def _single(statistics: Statistics) -> Statistics:
    return Statistics(datasets=[overall(statistics)])


def _level(value: float, warn: float, search: float) -> Level:
    return "search" if value > search else "warn" if value > warn else "ok"


def _in_words(drift: FeatureDrift, params: DriftParams) -> str:
    bound = params.feature_search if drift.level == "search" else params.feature_warn
    measure = {"jensen_shannon_divergence": "Jensen-Shannon divergence", "l_infinity": "L-infinity"}
    return (
        f"{drift.feature}: {measure[drift.measure]} {drift.distance:.3f}, bound {bound:g} "
        f"plus {drift.chance:.3f} for chance"
    )
