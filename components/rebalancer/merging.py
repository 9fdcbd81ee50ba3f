"""Beam's CombineFn for what is merged and has no neutral element."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import apache_beam as beam


class Merging(beam.CombineFn):
    """Merges elements of one sort into one of it; None of none."""

    def create_accumulator(self) -> Any:
        """Of no element."""
        return None

    def add_input(self, found: Any, more: Any) -> Any:
        """Of one more."""
        return self.merge_accumulators([found, more])

    def merge_accumulators(self, parts: Iterable[Any]) -> Any:
        """Of those of several."""
        there = [part for part in parts if part is not None]
        return self.merged(there) if len(there) > 1 else (there[0] if there else None)

    def extract_output(self, found: Any) -> Any:
        """What was merged."""
        return found

    @abstractmethod
    def merged(self, parts: list[Any]) -> Any:
        """One of at least two."""
