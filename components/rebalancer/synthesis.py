"""Draws synthetic rows from the sources that a sampler names, in pieces of any size."""

import numpy as np

from .. import hashing
from ..names import ROW_ID
from .rows import COPIED, Origin, Rows, Split
from .samplers.base import Draws, Source, SyntheticSampler


def synthesise(
    sampler: SyntheticSampler, split: Split, source: Source, start: int, stop: int
) -> tuple[Rows, Origin]:
    """The synthetic rows start..stop of a source's sum(uses); the same however they are cut.

    Every draw depends on the base's identity, its rank among rows of that identity, the turn (the
    how manieth use of the base it is), the source's method and the seed.
    """
    ends = np.cumsum(source.uses)
    first, last = np.searchsorted(ends, [start, stop - 1], side="right")
    bases = source.bases[first : last + 1]
    draw = np.arange(start, stop)
    which = np.searchsorted(ends, draw, side="right")
    turn = draw - (ends[which] - source.uses[which])
    at = which - first
    base = bases[at]

    ids = split.rows.ids
    serial = (split.rank[base] << 32 | turn).view(np.uint64)
    words = hashing.splitmix64(hashing.splitmix64(ids[base].view(np.uint64)) + serial)
    words = hashing.keyed(words, split.seed, f"{source.method}/{split.classes[source.code]}")
    gap = hashing.uniform(hashing.keyed(words, split.seed, "gap")) * source.reach
    if source.k:
        if source.table is None:
            near = sampler.neighbors(split, source, bases)
        else:
            near = source.table[first : last + 1]
        picked = hashing.uniform(hashing.keyed(words, split.seed, "neighbor")) * source.k
        near = near[at]
        chosen = near[np.arange(len(at)), picked.astype(np.int64)]
    else:
        near, chosen = np.empty((len(at), 0), np.int64), base
    columns = sampler.make(split, source, Draws(base, near, chosen, gap, words))
    if split.features.weight:
        name = split.features.weight[0]
        columns[name] = split.rows.columns[name][base]
    if split.features.copied:
        columns[COPIED] = split.rows.columns[COPIED][base]
    new_ids = hashing.keyed(
        words ^ hashing.splitmix64(ids[chosen].view(np.uint64)), split.seed, "synthetic"
    ).view(np.int64)
    codes = np.full(stop - start, source.code)
    content = split.rows.columns.get(ROW_ID, ids)
    if ROW_ID in split.rows.columns:
        columns[ROW_ID] = new_ids
    origin = Origin(content[base], content[chosen], gap.astype(np.float32), source.method)
    return Rows(new_ids, codes, columns), origin
