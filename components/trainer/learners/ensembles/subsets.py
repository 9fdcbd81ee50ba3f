"""Balanced subsets of rows, one for each member of an ensemble."""

import numpy as np


def balanced_subsets(
    labels: np.ndarray, n_classes: int, members: int, seed: int, *, disjoint: bool, replace: bool
) -> list[np.ndarray]:
    """For each member as many rows of every class as the smallest class has.

    Args:
      labels: int [n], class indices; every class has rows.
      n_classes: how many.
      members: how many subsets.
      seed: of all that is drawn.
      disjoint: a larger class's rows are dealt out: members share none of them before all have had
        their turn; then they are dealt anew. Otherwise each member draws from all of them.
      replace: rows are drawn with replacement, where they are drawn; so are the smallest class's,
        which otherwise are in every subset.

    Returns:
      [members] of int64 [n_classes * smallest], ascending row indices.
    """
    rows = [np.flatnonzero(labels == k) for k in range(n_classes)]
    size = min(map(len, rows))
    rng = np.random.default_rng([seed, members])
    chosen: list[list[np.ndarray]] = [[] for _ in range(members)]
    for of_class in rows:
        turns = len(of_class) // size
        deal = disjoint and len(of_class) > size
        for member, parts in enumerate(chosen):
            if deal:
                if member % turns == 0:
                    dealt = rng.permutation(of_class)
                start = member % turns * size
                parts.append(dealt[start : start + size])
            elif replace or len(of_class) > size:
                parts.append(rng.choice(of_class, size, replace=replace))
            else:
                parts.append(of_class)
    return [np.sort(np.concatenate(parts)) for parts in chosen]
