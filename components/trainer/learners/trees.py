"""Decision trees of any library, scored by plain TensorFlow operations.

All rows walk down all trees at once, a level a step: the tree traversal of Nakandala et al., "A
Tensor Compiler for Unified Machine Learning Prediction Serving" (Hummingbird), OSDI 2020, section
4.1.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from typing_extensions import Self


@dataclass(frozen=True)
class Trees:
    """t trees with m nodes in all; siblings stand side by side.

    A row at a node goes to its left child where x < threshold, else to the right one; where x is
    missing (NaN) as the node says. At a categorical split x is an id from 0, and the ids of a set
    go right; an id that no set has goes left.

    Attributes:
      roots: int32 [t], the trees' first nodes.
      feature: int32 [m], column of x; not read at leaves.
      threshold: float32 [m]; not read at leaves and categorical splits.
      missing_left: bool [m].
      left: int32 [m], left child, one before the right one; a leaf is its own.
      leaf: float32 [m, o], values; read at leaves.
      sets: categorical split -> int [k], the ids that go right.
      depth: splits on the longest way down.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    leaf: np.ndarray
    depth: int
    sets: Mapping[int, np.ndarray] = field(default_factory=dict)

    @property
    def is_leaf(self) -> np.ndarray:
        """bool [m]."""
        return self.left == np.arange(len(self.left))

    @classmethod
    def of_sklearn(cls, trees: Sequence[Any], leaves: Sequence[np.ndarray]) -> Self:
        """Trees of scikit-learn.

        Args:
          trees: `tree_` of each fitted estimator.
          leaves: float [nodes, o] of each, what its nodes are worth.
        """
        parts = [
            _Part(
                tree.children_left,
                tree.children_right,
                tree.feature,
                _strict(tree.threshold),
                np.asarray(tree.missing_go_to_left, bool),
                leaf,
            )
            for tree, leaf in zip(trees, leaves, strict=True)
        ]
        return cls._of(parts)

    @classmethod
    def _of(cls, parts: Sequence["_Part"]) -> Self:
        """Joins trees; nodes that no root leads to are left out."""
        sizes = [len(part.left) for part in parts]
        first = np.cumsum([0, *sizes[:-1]])
        shift = np.repeat(first, sizes)
        left, right, feature, threshold, missing_left = (
            np.concatenate([part[i] for part in parts]) for i in range(5)
        )
        leaf = np.concatenate([part.leaf for part in parts])
        inner = left >= 0
        left, right = left + shift, right + shift
        frontier, levels = first, [first]
        while (split := frontier[inner[frontier]]).size:
            frontier = np.stack([left[split], right[split]], axis=1).ravel()
            levels.append(frontier)
        order = np.concatenate(levels)
        place = np.zeros(len(left), np.int32)
        place[order] = np.arange(len(order))
        return cls(
            place[first],
            feature[order].astype(np.int32),
            threshold[order].astype(np.float32),
            missing_left[order].astype(bool),
            np.where(inner[order], place[left[order] * inner[order]], place[order]),
            leaf[order].astype(np.float32),
            len(levels) - 1,
            {
                int(place[start + node]): ids
                for start, part in zip(first, parts, strict=True)
                for node, ids in part.sets.items()
            },
        )


class Boosted(NamedTuple):
    """A booster of xgboost: the margin of output k is intercept[k] + the leaves of its trees."""

    trees: Trees
    """With one value a leaf."""
    group: np.ndarray
    """int32 [t], the output that each tree adds to."""
    intercept: np.ndarray
    """float32 [outputs]."""

    @classmethod
    def of(cls, booster: Any) -> Self:
        """Reads a trained `xgboost.Booster` of an objective binary:logistic or multi:softprob."""
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        model = learner["gradient_booster"]["model"]
        base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32)
        base = base.reshape(-1)
        if learner["objective"]["name"] == "binary:logistic":
            base = -np.log(1 / base - 1)  # stated as a probability
        outputs = max(1, int(learner["learner_model_param"]["num_class"]))
        return cls(
            Trees._of([_xgboost_part(tree) for tree in model["trees"]]),
            np.array(model["tree_info"], np.int32),
            np.broadcast_to(base, outputs).astype(np.float32),
        )


class TreeScorer(tf.Module):
    """Leaf values of each group's trees, summed.

    Args:
      trees: t of them.
      group: int [t], each tree's group, from 0.
    """

    def __init__(self, trees: Trees, group: np.ndarray) -> None:
        super().__init__()
        self._groups = int(group.max()) + 1
        self._depth, self._outputs = trees.depth, trees.leaf.shape[1]
        self._width = int(trees.feature.max(initial=0)) + 1
        columns, self._tests = _columns(trees, self._width)
        nodes = np.stack([columns, _threshold(trees).view(np.int32), trees.left], axis=1)
        # A group with fewer trees is filled up with a leaf worth nothing.
        empty = len(nodes)
        nodes = np.concatenate([nodes, [[0, _INF.view(np.int32), empty]]])
        leaf = np.concatenate([trees.leaf, np.zeros((1, self._outputs), np.float32)])
        self._nodes, self._leaf = _constant(nodes.astype(np.int32)), _constant(leaf)
        self._roots = _constant(_by_group(trees.roots, group, self._groups, empty))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] -> float32 [n, groups, o]."""
        n = tf.shape(x)[0]
        used = x[:, : self._width]
        missing = tf.math.is_nan(used)
        values = [tf.zeros([n, 1]), tf.where(missing, -_INF, used), tf.where(missing, _INF, used)]
        if self._tests is not None:
            values.append(self._tests(x))
        values = tf.concat(values, axis=1)
        nodes = tf.convert_to_tensor(self._nodes)
        at = tf.repeat(self._roots[None], n, axis=0)
        for _ in range(self._depth):
            column, threshold, left = tf.unstack(tf.gather(nodes, at), axis=2)
            value = tf.gather(values, column, batch_dims=1)
            at = left + tf.cast(value >= tf.bitcast(threshold, tf.float32), tf.int32)
        leaves = tf.gather(self._leaf, at)
        return tf.reduce_sum(tf.reshape(leaves, [n, self._groups, -1, self._outputs]), axis=2)


class _SetTests(tf.Module):
    """Whether ids are in sets.

    Eight sets of one feature share a byte for each of its ids, so that one lookup answers eight.

    Args:
      tests: (feature, ids in the set, whether NaN counts as in the set) of each test, tests of one
        feature side by side.
    """

    def __init__(self, tests: Sequence[tuple[int, tuple[int, ...], bool]]) -> None:
        super().__init__()
        features: list[int] = []
        tables: list[np.ndarray] = []
        self.place = np.zeros(len(tests), np.int64)
        """int64 [tests], the column of each in the output."""
        for feature in sorted({test[0] for test in tests}):
            own = [i for i, test in enumerate(tests) if test[0] == feature]
            size = 1 + max((max(tests[i][1], default=-1) for i in own), default=-1)
            inside = np.zeros((size + 2, len(own)), bool)  # ids, any other id, NaN
            for j, i in enumerate(own):
                inside[list(tests[i][1]), j] = True
                inside[-1, j] = tests[i][2]
            self.place[own] = 8 * len(features) + np.arange(len(own))
            packed = np.packbits(inside, axis=1, bitorder="little").T
            features += [feature] * len(packed)
            tables += list(packed)
        sizes = np.array([len(table) for table in tables], np.int32)
        self._features = _constant(np.array(features, np.int32))
        self._sizes = _constant(sizes)
        self._first = _constant((np.cumsum(sizes) - sizes).astype(np.int32))
        self._bytes = _constant(np.concatenate(tables))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """float32 [n, d] -> float32 [n, more than the tests], 1 where the id is in the set."""
        ids = tf.gather(x, self._features, axis=1)
        other, missing = self._sizes - 2, self._sizes - 1
        known = (ids >= 0) & (ids < tf.cast(other, tf.float32))
        index = tf.where(known, tf.cast(tf.where(known, ids, 0.0), tf.int32), other)
        index = tf.where(tf.math.is_nan(ids), missing, index) + self._first
        found = tf.gather(tf.convert_to_tensor(self._bytes), index)
        bits = tf.bitwise.bitwise_and(found[:, :, None], tf.constant(_BITS))
        return tf.reshape(tf.cast(bits > 0, tf.float32), [tf.shape(x)[0], 8 * index.shape[1]])


class _Part(NamedTuple):
    """One tree as its library holds it: children -1 at leaves, root 0."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    leaf: np.ndarray
    sets: Mapping[int, np.ndarray] = {}


def _xgboost_part(tree: Mapping[str, Any]) -> _Part:
    condition = np.array(tree["split_conditions"], np.float32)
    starts, sizes = tree["categories_segments"], tree["categories_sizes"]
    ids = np.array(tree["categories"], np.int64)
    return _Part(
        np.array(tree["left_children"], np.int64),
        np.array(tree["right_children"], np.int64),
        np.array(tree["split_indices"], np.int64),
        condition,
        np.array(tree["default_left"], bool),
        condition[:, None],  # at a leaf its value
        {
            node: ids[start : start + size]
            for node, start, size in zip(tree["categories_nodes"], starts, sizes, strict=True)
        },
    )


def _strict(threshold: np.ndarray) -> np.ndarray:
    """float32 s for float64 t such that, for every float32 x, x <= t is x < s."""
    below = threshold.astype(np.float32)
    below = np.where(below > threshold, np.nextafter(below, -_INF), below)
    return np.nextafter(below, _INF)


def _columns(trees: Trees, width: int) -> tuple[np.ndarray, _SetTests | None]:
    """int [m], which of the scorer's columns a node compares, and the tests among them.

    Columns are: 0; the first `width` of x with NaN as -inf; those with NaN as inf; the tests. So a
    node need not know of missing values and sets.
    """
    columns = 1 + trees.feature + np.where(trees.missing_left, 0, width)
    columns = np.where(trees.is_leaf, 0, columns)
    if not trees.sets:
        return columns, None
    tests = {
        node: (int(trees.feature[node]), tuple(ids.tolist()), not trees.missing_left[node])
        for node, ids in trees.sets.items()
    }
    distinct = sorted(set(tests.values()))
    module = _SetTests(distinct)
    place = dict(zip(distinct, module.place, strict=True))
    for node, test in tests.items():
        columns[node] = 1 + 2 * width + place[test]
    return columns, module


def _threshold(trees: Trees) -> np.ndarray:
    threshold = np.where(trees.is_leaf, _INF, trees.threshold)
    # TensorFlow takes subnormal numbers for 0, which is below the positive ones.
    threshold = np.where((threshold > 0) & (threshold < _TINY), _TINY, threshold)
    threshold[list(trees.sets)] = 0.5
    return threshold.astype(np.float32)


def _by_group(roots: np.ndarray, group: np.ndarray, groups: int, empty: int) -> np.ndarray:
    """int32 [groups * most trees of one]: each group's roots, filled up with `empty`."""
    counts = np.bincount(group, minlength=groups)
    order = np.argsort(group, kind="stable")
    table = np.full((groups, counts.max()), empty, np.int32)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[group[order], rank] = roots[order]
    return table.ravel()


def _constant(values: np.ndarray) -> tf.Variable:
    # A variable, since a graph of constants may not exceed 2 GB.
    return tf.Variable(values, trainable=False)


_INF = np.float32(np.inf)
_TINY = np.finfo(np.float32).tiny
_BITS = (1 << np.arange(8)).astype(np.uint8)
