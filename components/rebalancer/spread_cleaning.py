"""Cleaning of rows whose features do not fit in one place: by cells of all classes.

All rows, real and synthetic, are one group of `spread_search`. Whether a row's nearest ones speak
against it is seen in the cell where it is at home. What two rows have to say of each other (Tomek
links) is put together from both cells, for the few rows that are suspected at all. Synthetic rows
are there already and stay where they are: they are looked up in the same Decisions as real ones.

Memory: of each row that is suspected 40 bytes come to one place.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from .. import hashing
from . import cells
from .decisions import Decisions, keys_of
from .plan import Plan, Tally, counted_tally
from .reading import Block, BlockDoFn, Job
from .rows import Origin, Rows
from .samplers import SAMPLERS
from .samplers.cleaning import NeighborCleaning
from .samplers.combined import Combined
from .spread_search import ALL, Cell, Part, Search, find_routes, in_cells, recall_of
from .strategy import cleaned_classes

_SUSPECTS = np.dtype(
    [("key", "<u8"), ("rows", "<i8"), ("code", "<i8"), ("name", "<u8"), ("near", "<u8")]
)
"""Rows that may go: their key in Decisions and how many have it, their class, a hash of their own
and that of their nearest row."""


class Cleaned(NamedTuple):
    """What `spread_cleaning` gives.

    Attributes:
      decisions: one Decisions, of real and synthetic rows.
      synthetic: (Rows, Origin), those that stay; None where there were none.
      tally: one Tally.
      recall: (class code, recall of the search) of the classes cleaned, if it was not exact.
    """

    decisions: beam.PCollection
    synthetic: beam.PCollection | None
    tally: beam.PCollection
    recall: beam.PCollection


def spread_cleaning(
    read: Callable[[str], beam.PCollection],
    synthetic: beam.PCollection | None,
    planned: beam.PCollection,
    job: Job,
) -> Cleaned:
    """Removes rows because of their neighbours.

    Args:
      read: gives the examples, as Frames or as names of their files, for the step of that name;
        called three times.
      synthetic: (Rows, Origin), cleaned together with those.
      planned: one Plan.
      job: its method is a NeighborCleaning or ends with one.

    Raises:
      UserError: (in a worker) a class would lose all of its rows; and see `find_routes`.
    """
    made = AsSingleton(planned)
    # What is made is known already: neither copied features nor bases' identities have to travel.
    params = job.params.model_copy(update={"provenance": False})
    job = job._replace(features=replace(job.features, copied=()), params=params)
    search = Search("Clean", _cleaner(job).looks_at(job.params), job)

    def parts(step: str) -> beam.PCollection:
        real = read(step) | f"{step}Parse" >> beam.ParDo(_Everything(job), made)
        if synthetic is None:
            return real
        return (
            real,
            synthetic | f"{step}Synthetic" >> beam.Map(_part, job, made),
        ) | f"{step}Both" >> beam.Flatten()

    routes = find_routes(search, parts("CleanSample"), parts("CleanSearch"))
    settled = (
        in_cells(search, parts("CleanRows"), routes)
        | "SuspectRows" >> beam.FlatMap(_suspects, job, made)
        | "GatherSuspects" >> beam.combiners.ToList()
        | "SettleSuspects" >> beam.Map(_settled, job, made)
    )
    decisions = settled | "CleanDecisions" >> beam.Map(lambda found: found.decisions)
    staying = None
    added: AsSingleton | None = None
    if synthetic is not None:
        staying = synthetic | "CleanSynthetic" >> beam.Map(_staying, AsSingleton(decisions))
        added = AsSingleton(
            staying
            | "CountClasses" >> beam.Map(_count, len(job.layout.classes))
            | "CountSynthetic" >> beam.CombineGlobally(_total, len(job.layout.classes))
        )
    tally = settled | "CleanTally" >> beam.Map(_tally, job, made, added)
    recall = recall_of(search, routes) | "RecallByClass" >> beam.FlatMap(_by_class, job, made)
    return Cleaned(decisions, staying, tally, recall)


class _Everything(BlockDoFn):
    """(ALL, Part)."""

    def of(self, block: Block, made: Plan) -> Iterator[tuple[int, Part]]:
        yield ALL, Part(self.rows(block), sum(made.after.values()))


class _Settled(NamedTuple):
    """Decisions, and int64 [n_classes], rows that go of each class, real and synthetic."""

    decisions: Decisions
    gone: np.ndarray


def _part(made_up: tuple[Rows, Origin], job: Job, made: Plan) -> tuple[int, Part]:
    rows, _ = made_up
    columns = {name: rows.columns[name] for name in job.features.types}
    return ALL, Part(rows._replace(columns=columns), sum(made.after.values()))


def _cleaner(job: Job) -> NeighborCleaning:
    sampler = SAMPLERS[job.params.method]
    cleaner = sampler.cleaner if isinstance(sampler, Combined) else sampler
    if not isinstance(cleaner, NeighborCleaning):
        raise TypeError(f"{job.params.method} does not clean by neighbours")
    return cleaner


def _cleaned(job: Job, made: Plan) -> np.ndarray:
    """int64 [c], the classes of which rows may go."""
    names = [name for name, rows in made.after.items() if rows]
    if not isinstance(SAMPLERS[job.params.method], Combined):
        names = list(cleaned_classes(job.params.sampling_strategy, made.before))
    return np.array([job.layout.classes.index(name) for name in names])


def _suspects(cell: Cell, job: Job, made: Plan) -> Iterator[np.ndarray]:
    """_SUSPECTS of one cell."""
    cleaner, split = _cleaner(job), cell.split
    codes, rows = split.rows.codes, cell.home
    if not cleaner.mutual:
        rows = rows[np.isin(codes[rows], _cleaned(job, made))]
    if not len(rows):
        return
    near, _ = cells.search_cell(cell.space, cleaner.looks_at(job.params), rows)
    against = cleaner.disagrees(codes[rows], codes[near], job.params)
    rows, near = rows[against], near[against, 0]
    keys = keys_of(split.rows.ids, codes)
    # The first copies are here as in any other cell, so the nearest row has its own name here.
    names = hashing.splitmix64(keys ^ hashing.splitmix64(split.rank.view(np.uint64)))
    _, which, count = np.unique(keys, return_inverse=True, return_counts=True)
    found = np.empty(len(rows), _SUSPECTS)
    found["key"], found["rows"], found["code"] = keys[rows], count[which[rows]], codes[rows]
    found["name"], found["near"] = names[rows], names[near]
    if len(found):
        yield found


def _settled(parts: list[np.ndarray], job: Job, made: Plan) -> _Settled:
    found = np.concatenate([np.empty(0, _SUSPECTS), *parts])
    if _cleaner(job).mutual:
        to, back = (
            hashing.splitmix64(found[one] ^ hashing.splitmix64(found[other]))
            for one, other in (("name", "near"), ("near", "name"))
        )
        found = found[np.isin(to, back) & np.isin(found["code"], _cleaned(job, made))]
    n_classes = len(job.layout.classes)
    gone = np.bincount(found["code"], minlength=n_classes)
    return _Settled(Decisions.without(found["key"], found["rows"], n_classes), gone)


def _staying(made_up: tuple[Rows, Origin], decisions: Decisions) -> tuple[Rows, Origin]:
    rows, origin = made_up
    copies, *_ = decisions.of(rows.ids, rows.codes)
    return rows.take(copies > 0), origin.take(copies > 0)


def _count(made_up: tuple[Rows, Origin], n_classes: int) -> np.ndarray:
    return np.bincount(made_up[0].codes, minlength=n_classes)


def _total(counts: list[np.ndarray], n_classes: int) -> np.ndarray:
    return sum(counts, np.zeros(n_classes, np.int64))


def _tally(settled: _Settled, job: Job, made: Plan, added: np.ndarray | None) -> Tally:
    classes = job.layout.classes
    rows = np.array([made.after[name] for name in classes]) - settled.gone
    added = np.zeros_like(rows) if added is None else added
    return counted_tally(made, classes, rows - added, rows - added, added)


def _by_class(found: tuple[int, float], job: Job, made: Plan) -> Iterator[tuple[int, float]]:
    for code in _cleaned(job, made).tolist():
        yield code, found[1]
