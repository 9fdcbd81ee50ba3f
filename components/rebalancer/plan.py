"""What is done to a split, decided from its counts and, for some methods, from all of its rows.

Plain functions over rows in one place, the same on Beam and in a notebook.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np

from ..errors import UserError
from ..report import Kind
from . import cells, selection, sketch
from .features import Features
from .params import RebalanceParams
from .report import OutlierFindings, Rebalancing
from .rows import Origin, Rows, Split, Whole
from .samplers import SAMPLERS
from .samplers.base import Outcome, Sampler, Source, SplitSampler, SyntheticSampler
from .samplers.combined import Combined
from .synthesis import synthesise

Way = Literal["place", "stream", "cells"]
"""How a method sees the rows that it reads: in one place; as they stream past those that it holds
(`stream`); or by cells of near rows (`spread`)."""
SPREADS: Final = (
    "smote",
    "smote_nc",
    "smote_tomek",
    "smote_enn",
    "tomek_links",
    "edited_nearest_neighbours",
)
"""Methods that can go by cells."""


@dataclass(frozen=True)
class Plan:
    """What class counts alone decide.

    Attributes:
      before: class name -> rows.
      after: the same afterwards; for a sampler that decides by the rows themselves, before it does.
      copies: of the rows, by hash.
      new: class index -> synthetic rows, where there are any.
      weights: float64 [n_classes], what a row of the class counts for afterwards.
    """

    before: dict[str, int]
    after: dict[str, int]
    copies: selection.Copies
    new: dict[int, int]
    weights: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """Rows that synthetic ones are made of, and how.

    Attributes:
      split: no more rows than the sources name.
      sources: see there.
      recall: class index -> share of the true neighbours that were found, where that was measured.
    """

    split: Split
    sources: list[Source]
    recall: dict[int, float]


@dataclass(frozen=True)
class Tally:
    """What was done, in rows by class name: see `Rebalancing`."""

    before: dict[str, int]
    after: dict[str, int]
    kept: dict[str, int]
    duplicated: dict[str, int]
    synthetic: dict[str, int]
    weights: dict[str, float]
    recall: dict[str, float] = field(default_factory=dict)
    outliers: OutlierFindings | None = None

    def screened(self, findings: OutlierFindings) -> "Tally":
        """With the rows that were dropped before anything was counted."""
        dropped = findings.rows if findings.action == "drop" else {}
        before = {name: rows + dropped.get(name, 0) for name, rows in self.before.items()}
        return replace(self, before=before, outliers=findings)

    def report(
        self, params: RebalanceParams, row_identity: str, row_copies: str | None = None
    ) -> Rebalancing:
        """As the artifact has it; for the last two see there."""
        factors = {
            name: self.after[name] * self.weights[name] / before if before else 1.0
            for name, before in self.before.items()
        }
        untouched = self.kept == self.before and self.after == self.before
        kind: Kind = "none" if untouched else SAMPLERS[params.method].kind
        if self.outliers and any(self.outliers.rows.values()):
            kind = "approximate"
        return Rebalancing(
            **vars(self),
            method=params.method,
            sampler=params.sampler,
            sampling_strategy=params.sampling_strategy,
            seed=params.seed,
            factors=factors,
            kind=kind,
            row_identity=row_identity,
            row_copies=row_copies,
        )


def plan(
    found: sketch.Sketch,
    classes: tuple[str, ...],
    features: Features,
    params: RebalanceParams,
    how: Way = "place",
) -> Plan:
    """Decides by class counts.

    Args:
      found: in the first read.
      classes: all class names.
      features: what synthetic rows are made of.
      params: method, strategies, limits.
      how: the method sees rows; what it sees in one place has to fit there.

    Raises:
      UserError: labels, strategy or features do not allow the method.
    """
    _must_be_classes(found, classes)
    rows = found.histogram.sum(axis=1)
    before = dict(zip(classes, rows.tolist(), strict=True))
    sampler = SAMPLERS[params.method]
    after = allowed_targets(before, features, params)
    new: dict[int, int] = {}
    weights = np.ones(len(classes))
    written = after
    if sampler.reads != "counts":
        written = before
        if isinstance(sampler, SyntheticSampler):
            grown = (after[name] - before[name] for name in classes)
            new = {code: n for code, n in enumerate(grown) if n > 0}
        if how != "cells":
            names = _seen(before, after, params, how)
            rows_seen = sum(before[name] for name in names)
            must_fit(rows_seen, ", ".join(names), features, params, how)
    elif sampler.weighs:
        weights = rows / np.maximum([after[name] for name in classes], 1)
        weights[rows == 0] = 1.0
    copies = selection.Copies.exact(found.histogram, list(written.values()))
    return Plan(before, after, copies, new, weights)


def allowed_targets(
    counts: Mapping[str, int], features: Features, params: RebalanceParams
) -> dict[str, int]:
    """Rows of each class afterwards, as `Sampler.targets`.

    Raises:
      UserError: strategy, growth, features or parameters do not allow the method.
    """
    sampler = SAMPLERS[params.method]
    after = sampler.targets(counts, params)
    _must_not_outgrow(counts, after, params.max_growth)
    sampler.check(counts, features, params)
    return after


def megabytes(rows: int, features: Features) -> float:
    """Size of the feature matrix of so many rows."""
    return features.value_bytes * features.values * rows / 2**20


def way(counts: Mapping[str, int], features: Features, params: RebalanceParams) -> Way:
    """In one place where what the method reads fits there; else as it does without that.

    Args:
      counts: class name -> rows before.
      features: what synthetic rows are made of.
      params: method, strategies, limits.
    """
    sampler = SAMPLERS[params.method]
    try:
        after = sampler.targets(counts, params)
    except UserError:  # told by `plan`, of the rows that are there
        return "place"

    def fits(how: Way, times: int = 1) -> bool:
        rows = sum(counts[name] for name in _seen(counts, after, params, how))
        return megabytes(times * rows, features) <= params.memory_limit_mb

    if sampler.reads == "counts" or fits("place"):
        return "place"
    if params.method not in SPREADS:
        return "place" if sampler.streams is None else "stream"
    # Each round names no more rows than there are of the classes held.
    streams = sampler.streams is not None and fits("stream", 1 + sampler.rounds)
    return "stream" if streams else "cells"


def planned_tally(made: Plan, classes: tuple[str, ...]) -> Tally:
    """Of a method whose counts are known from the plan."""
    synthetic = {name: made.new.get(code, 0) for code, name in enumerate(classes)}
    written = {name: made.after[name] - synthetic[name] for name in classes}
    kept = {name: min(made.before[name], written[name]) for name in classes}
    return Tally(
        before=made.before,
        after=made.after,
        kept=kept,
        duplicated={name: written[name] - kept[name] for name in classes},
        synthetic=synthetic,
        weights=dict(zip(classes, made.weights.tolist(), strict=True)),
    )


def prepare(
    rows: Rows,
    made: Plan,
    classes: tuple[str, ...],
    features: Features,
    params: RebalanceParams,
    whole: Whole | None = None,
) -> Prepared:
    """The sources of the synthetic rows, from the rows that the sampler reads, in any order."""
    sampler = synthetic_sampler(params)
    split = Split(rows.ordered(), classes, features, params.seed, whole)
    sources = sampler.sources(split, made.new, params)
    named = np.unique(
        np.concatenate([np.empty(0, np.int64), *(i for s in sources for i in (s.bases, s.pool))])
    )
    if len(named) < len(split):
        split = Split(split.rows.take(named), classes, features, params.seed)
        sources = [
            replace(
                source,
                bases=np.searchsorted(named, source.bases),
                pool=np.searchsorted(named, source.pool),
            )
            for source in sources
        ]
    recall: dict[int, float] = {}
    searched = []
    for source in sources:
        table, found = _searched(sampler, split, source, params)
        searched.append(replace(source, table=table))
        if found is not None and found < 1:
            recall[source.code] = min(found, recall.get(source.code, 1.0))
    return Prepared(split, searched, recall)


def _searched(
    sampler: SyntheticSampler, split: Split, source: Source, params: RebalanceParams
) -> tuple[np.ndarray | None, float | None]:
    """Neighbours of all bases and the recall of the search, for a pool too large to be exact."""
    space = sampler.space(split, source)
    if (
        space is None
        or len(source.pool) <= params.exact_rows
        or not np.isin(source.bases, source.pool).all()
    ):
        return None, None
    found, recall = cells.search(
        space.take(source.pool),
        source.k,
        split.rows.ids[source.pool],
        split.seed % 2**32,
        exact_rows=params.exact_rows,
        recall=params.recall,
    )
    return source.pool[found[np.searchsorted(source.pool, source.bases)]], recall


def synthetic_sampler(params: RebalanceParams) -> SyntheticSampler:
    """The method's sampler, which makes synthetic rows. Raises TypeError where it does not."""
    sampler = SAMPLERS[params.method]
    if not isinstance(sampler, SyntheticSampler):
        raise TypeError(f"{params.method} makes no synthetic rows")
    return sampler


def decides(sampler: Sampler) -> bool:
    """Whether the rows themselves decide, so that counts are known only once it has seen them."""
    return isinstance(sampler, SplitSampler | Combined)


def decide(
    rows: Rows,
    made: Plan,
    classes: tuple[str, ...],
    features: Features,
    params: RebalanceParams,
    whole: Whole | None = None,
) -> tuple[Rows, Outcome]:
    """What becomes of rows, given in any order: in canonical order, with their copies.

    Where there is a `whole`, these are the rows that matter, and others are as `usual_copies`.

    Raises:
      UserError: the rows do not allow it, or a class would lose all of its rows.
    """
    sampler = SAMPLERS[params.method]
    split = Split(rows.ordered(), classes, features, params.seed, whole)
    if isinstance(sampler, Combined):
        outcome = _combined(sampler, split, made, params)
    elif isinstance(sampler, SplitSampler):
        outcome = sampler.outcome(split, params)
    else:
        raise TypeError(f"{params.method} does not decide on rows")
    return split.rows, outcome


def usual_copies(made: Plan, classes: tuple[str, ...]) -> np.ndarray:
    """int64 [n_classes], copies of a row that does not matter: of a class that is cut, 0."""
    return np.array([made.after[name] >= made.before[name] for name in classes], np.int64)


def outcome_tally(rows: Rows, outcome: Outcome, made: Plan, classes: tuple[str, ...]) -> Tally:
    """Counts what `decide` gave.

    Raises:
      UserError: a class has lost all of its rows.
    """
    n = len(classes)
    kept = np.bincount(rows.codes, outcome.copies > 0, n).astype(np.int64)
    written = np.bincount(rows.codes, outcome.copies, n).astype(np.int64)
    elsewhere = np.array([made.before[name] for name in classes])
    elsewhere -= np.bincount(rows.codes, minlength=n)
    kept += elsewhere * usual_copies(made, classes)
    written += elsewhere * usual_copies(made, classes)
    added = np.zeros(n, np.int64)
    if outcome.synthetic is not None:
        added = np.bincount(outcome.synthetic.codes, minlength=n)
    return counted_tally(made, classes, kept, written, added)


def counted_tally(
    made: Plan,
    classes: tuple[str, ...],
    kept: np.ndarray,
    written: np.ndarray,
    added: np.ndarray,
) -> Tally:
    """Of a method whose rows decide.

    Args:
      made: what was planned.
      classes: all class names.
      kept: int64 [n_classes], real rows that are written.
      written: the same, with their copies.
      added: int64 [n_classes], synthetic rows.

    Raises:
      UserError: a class has lost all of its rows.
    """
    after = written + added
    rest = dict(zip(classes, after.tolist(), strict=True))
    lost = [name for name in classes if made.before[name] and not rest[name]]
    if lost:
        raise UserError(
            f"rebalance.method: class {', '.join(lost)} would lose all of its rows, which no prior "
            "correction brings back; clean fewer classes by rebalance.sampling_strategy, or use "
            "another method"
        )

    def named(counts: np.ndarray) -> dict[str, int]:
        return dict(zip(classes, counts.tolist(), strict=True))

    return Tally(
        before=made.before,
        after=named(after),
        kept=named(kept),
        duplicated=named(written - kept),
        synthetic=named(added),
        weights=dict.fromkeys(classes, 1.0),
    )


def _combined(sampler: Combined, split: Split, made: Plan, params: RebalanceParams) -> Outcome:
    """Synthetic rows are made first, then all are cleaned."""
    made_up = [
        synthesise(sampler, split, source, 0, int(source.uses.sum()))
        for source in sampler.sources(split, made.new, params)
    ]
    union = Rows.concatenated([split.rows, *(rows for rows, _ in made_up)])
    order = union.canonical_order()
    gone = np.empty(len(order), bool)
    whole = Split(union.take(order), split.classes, split.features, split.seed)
    gone[order] = sampler.clean(whole, params)
    n = len(split)
    copies, stay = 1 - gone[:n].astype(np.int64), np.flatnonzero(~gone[n:])
    if not made_up:
        return Outcome(copies)
    origin = Origin.concatenated([origin for _, origin in made_up])
    return Outcome(copies, union.take(stay + n), origin.take(stay))


def _must_be_classes(found: sketch.Sketch, classes: tuple[str, ...]) -> None:
    if not found.strangers:
        return
    told = ", ".join(
        f"{name!r} in {rows} rows" if name else f"missing in {rows} rows"
        for name, rows in found.strangers.most_common(5)
    )
    raise UserError(
        f"train: the label is {told}; the classes of the ImbalanceReport are {', '.join(classes)}"
    )


def _must_not_outgrow(
    before: Mapping[str, int], after: Mapping[str, int], max_growth: float
) -> None:
    rows, grown = sum(before.values()), sum(after.values())
    if grown > max_growth * rows:
        raise UserError(
            f"rebalance.max_growth: {max_growth:g}, but {rows} rows would become {grown} "
            f"({grown / rows:.1f} times); raise max_growth, or ask for fewer rows in "
            "rebalance.sampling_strategy"
        )


def _seen(
    before: Mapping[str, int], after: Mapping[str, int], params: RebalanceParams, how: Way
) -> list[str]:
    """The classes of which a sampler sees all rows in one place."""
    sampler = SAMPLERS[params.method]
    if how == "stream":
        return sampler.held(before, after)
    return [name for name in before if sampler.reads == "split" or after[name] > before[name]]


def must_fit(rows: int, what: str, features: Features, params: RebalanceParams, how: Way) -> None:
    """Raises UserError where so many rows, said to be `what`, do not fit in one place."""
    needed = megabytes(rows, features)
    if needed > params.memory_limit_mb:
        others = f"or use a method that works past it: {', '.join(SPREADS)}, over, under"
        if how == "stream":
            others = "or use over or under"
        elif params.method in SPREADS or SAMPLERS[params.method].streams is not None:
            others = "give `counts` to do with less, or use over or under"
        raise UserError(
            f"rebalance.memory_limit_mb: {params.memory_limit_mb} MB do not hold the "
            f"{needed:.0f} MB of {what} that '{params.method}' searches in one "
            f"place; raise the limit if there is memory, {others}"
        )
