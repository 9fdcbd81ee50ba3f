"""The methods of `rebalance.method`, one module each."""

from . import both, none, over, smote, smote_nc, under
from .base import SAMPLERS, Rows, Sampler, SyntheticSampler

__all__ = [
    "SAMPLERS",
    "Rows",
    "Sampler",
    "SyntheticSampler",
    "both",
    "none",
    "over",
    "smote",
    "smote_nc",
    "under",
]
