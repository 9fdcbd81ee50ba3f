"""Oversampling, then undersampling."""

from collections.abc import Mapping

from ..params import RebalanceParams
from ..strategy import UNDER_PATH, over_targets, under_targets
from .base import Sampler, register


@register
class RandomOverUnderSampler(Sampler):
    """Class counts of a pipeline of an oversampler and an undersampler, reached in one step.

    A class that ends with more rows than it had has each of them used evenly; nothing is copied
    only to be dropped again.
    """

    name = "both"

    def targets(self, counts: Mapping[str, int], params: RebalanceParams) -> dict[str, int]:
        """By `sampling_strategy`, then by `under_sampling_strategy` on what that gives."""
        grown = over_targets(params.sampling_strategy, counts)
        return under_targets(params.under_sampling_strategy, grown, UNDER_PATH)
