"""What a sampler is, and the registry of all of them.

A sampler is a pure function of rows and seed: it knows numpy, nothing of files or Beam. Three sorts
differ in what they have to see:

- `Sampler` (reads 'counts') writes rows less often or more often, chosen by hash;
- `SyntheticSampler` (reads 'classes' or 'split') keeps every row and adds synthetic ones;
- `SplitSampler` (reads 'split') decides on all rows together, `CleaningSampler` among them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from ...errors import UserError
from ...report import Kind
from ..features import Features
from ..neighbors import Space
from ..params import RebalanceParams
from ..rows import Origin, Rows, Split
from ..strategy import over_targets

SAMPLERS: dict[str, "Sampler"] = {}
"""method -> its sampler."""

Reads = Literal["counts", "classes", "split"]
Stream = Literal["asks", "ranks", "counter"]


class Ask(NamedTuple):
    """Rows whose nearest ones a sampler has to see.

    Attributes:
      rows: int64 [q], row indices.
      among: int64 [c], classes that are looked through, by index.
      k: how many of them, each row itself left out.
    """

    rows: np.ndarray
    among: np.ndarray
    k: int


Counter = Callable[[Split], tuple[np.ndarray, ...]]
"""Gives int64 arrays, to be added up over all rows."""


class Sampler(ABC):
    """One method of `rebalance.method`.

    A subclass in a module of this folder, decorated with `register`, is all that a method needs;
    the checks that every method must pass find it in the registry.

    Attributes:
      name: as a config says it.
      kind: what it does to p(x | y), see `Kind`.
      reads: 'counts': class counts alone decide; 'classes': it sees the rows of the classes that
        grow; 'split': it sees all rows.
      weighs: whether a row that is kept counts for those of its class that were dropped.
      streams: for a sampler that reads 'split', what it has to see of all rows beside those `held`
        to decide as if it saw them all: by which of its methods. None: it has to see them all.
      rounds: how often it `asks`, from the second time on with the rows that it was given.
      sample_rows: rows of all that it has to see in any case, by hash.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "prior_only"
    reads: ClassVar[Reads] = "counts"
    weighs: ClassVar[bool] = False
    streams: ClassVar[tuple[Stream, ...] | None] = None
    rounds: ClassVar[int] = 1
    sample_rows: ClassVar[int] = 0

    @abstractmethod
    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """Rows of each class afterwards; for a CleaningSampler before it cleans.

        Args:
          counts: class name -> rows before.
          params: the strategies; a UserError says what does not fit the counts.
        """

    def check(self, counts: Mapping[str, int], features: Features, params: RebalanceParams) -> None:
        """Raises UserError where counts, features or parameters do not allow the method.

        Here: where the strategy does not fit the counts.
        """
        self.targets(counts, params)

    def held(self, before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
        """Classes of which all rows have to be in one place: here those that grow."""
        return [name for name in before if after[name] > before[name]]

    def asks(self, held: Split, params: RebalanceParams) -> list[Ask]:
        """Rows of `held`, or of those last given, whose nearest ones have to be there, too."""
        raise TypeError(f"{self.name} asks for no rows")

    def ranks(self, held: Split, rows: Split, params: RebalanceParams) -> np.ndarray:
        """float64 [n], by which the first `targets` of each class have to be there.

        Args:
          held: rows of the classes `held`.
          rows: n others, of one class.
          params: the sampler's.
        """
        raise TypeError(f"{self.name} ranks no rows")

    def counter(self, held: Split, params: RebalanceParams) -> Counter:
        """Counts of all rows, summed in `Whole.counts`.

        Args:
          held: rows of the classes `held`, with the sample in `whole`.
          params: the sampler's.
        """
        raise TypeError(f"{self.name} counts no rows")


@dataclass(frozen=True)
class Source:
    """Rows of which synthetic rows of one class are made, each between a base and a neighbour.

    Attributes:
      code: class of the synthetic rows.
      bases: int64 [b], row indices into the split.
      uses: int64 [b], synthetic rows made of each base.
      pool: int64 [m], row indices, ascending: where a base's neighbours are looked for (itself left
        out). Empty where rows are made of the base alone.
      k: a neighbour is drawn among so many nearest of the pool; 0 with an empty pool.
      reach: the gap is uniform on [0, reach).
      method: what the provenance of the rows says.
      table: int64 [b, k], the bases' neighbours, where they were searched all together.
    """

    code: int
    bases: np.ndarray
    uses: np.ndarray
    pool: np.ndarray
    k: int
    method: str
    reach: float = 1.0
    table: np.ndarray | None = None


class Draws(NamedTuple):
    """What was drawn for s synthetic rows of a source.

    Attributes:
      base: int64 [s], row indices.
      near: int64 [s, k], row indices of each base's neighbours, nearest first.
      chosen: int64 [s], the neighbour drawn for each (the base itself where k is 0).
      gap: float64 [s] in [0, reach).
      words: uint64 [s], a hash of each draw, for whatever else is random (`hashing.keyed`).
    """

    base: np.ndarray
    near: np.ndarray
    chosen: np.ndarray
    gap: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What becomes of the n rows of a split.

    Attributes:
      copies: int64 [n], how often each is written.
      synthetic: rows that are added.
      origin: where those come from, if that is known.
    """

    copies: np.ndarray
    synthetic: Rows | None = None
    origin: Origin | None = None


class SyntheticSampler(Sampler):
    """A sampler that keeps every row as it is and adds synthetic ones."""

    kind: ClassVar[Kind] = "approximate"
    reads: ClassVar[Reads] = "classes"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """As for oversampling."""
        return over_targets(params.sampling_strategy, counts)

    @abstractmethod
    def sources(
        self, split: Split, new: Mapping[int, int], params: RebalanceParams
    ) -> list[Source]:
        """What the synthetic rows are made of.

        Args:
          split: rows of the classes in `new` (reads 'classes') or all rows (reads 'split').
          new: class index -> synthetic rows wanted, each at least 1; the sources' uses add up to
            exactly that.
          params: neighbours and the like.

        Raises:
          UserError: the rows do not allow it (say, no row is in danger); says which class and what
            to do.
        """

    def space(self, split: Split, source: Source) -> Space | None:
        """How far apart rows of the pool are, if the distance is one that a Space knows.

        Args:
          split: as for `sources`.
          source: one of them.
        """
        return None

    @abstractmethod
    def neighbors(self, split: Split, source: Source, bases: np.ndarray) -> np.ndarray:
        """int64 [len(bases), source.k]: row indices of each base's nearest, nearest first.

        Args:
          split: as for `sources`.
          source: one of them.
          bases: int64, some of source.bases.
        """

    @abstractmethod
    def make(self, split: Split, source: Source, draws: Draws) -> dict[str, np.ndarray]:
        """Feature columns of s synthetic rows; the caller adds label, identity and weight.

        Args:
          split: as for `sources`.
          source: one of them.
          draws: of s rows.
        """


class SplitSampler(Sampler):
    """A sampler that decides on every row of the split in one place, counts unknown beforehand."""

    kind: ClassVar[Kind] = "approximate"
    reads: ClassVar[Reads] = "split"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """As before: what happens is not known yet."""
        return dict(counts)

    @abstractmethod
    def outcome(self, split: Split, params: RebalanceParams) -> Outcome:
        """What becomes of all rows.

        Args:
          split: all rows.
          params: strategy and the like.

        Raises:
          UserError: the rows do not allow it; says what to do.
        """


class CleaningSampler(SplitSampler):
    """A sampler that removes rows of the split because of their neighbours.

    The rows it removes are those that imbalanced-learn's sampler of the same name does where no two
    neighbours are equally far.
    """

    def outcome(self, split: Split, params: RebalanceParams) -> Outcome:
        """Rows are kept or removed."""
        return Outcome(1 - self.removed(split, params).astype(np.int64))

    @abstractmethod
    def removed(self, split: Split, params: RebalanceParams) -> np.ndarray:
        """bool [n], the rows that go.

        Args:
          split: all rows; may hold synthetic rows too.
          params: strategy and neighbours.

        Raises:
          UserError: a class would lose all its rows; says which and what to do.
        """


def register(cls: type[Sampler]) -> type[Sampler]:
    """Class decorator: adds a sampler to the registry under its name."""
    SAMPLERS[cls.name] = cls()
    return cls


def must_be_numbers(method: str, features: Features) -> None:
    """Raises UserError where a feature is not a fixed number of numbers."""
    if features.unsupported:
        told = ", ".join(f"'{name}' {why}" for name, why in features.unsupported.items())
        raise UserError(
            f"rebalance.method: '{method}' needs features that are numbers, but "
            f"{told}; leave them out in Transform, or use over, under or both"
        )
