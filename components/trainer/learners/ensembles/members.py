"""Members of an ensemble, each trained on rows of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, cast

import joblib
import numpy as np
import tensorflow as tf
from scipy.special import softmax
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from .... import progress
from ...input import Feature, Rows
from ...params import Member as Kind
from ..base import Task
from .boost import ada_boost, boosted
from .data import Data

Member: TypeAlias = DecisionTreeClassifier | AdaBoostClassifier | tf.Module
"""A fitted tree or AdaBoost, or the scorer of another learner."""

COPIES_BYTES = 2 << 30
"""Most memory of the subsets that are copied at once."""
SCORE_ROWS = 4096


def count(task: Task, trees: int) -> int:
    """How many members: what the user says, else `trees`, or 10 of a learner that takes longer."""
    cheap = task.params.ensemble_member in (None, "decision_tree")
    return task.params.ensemble.members or (trees if cheap else min(trees, 10))


def kind_of(task: Task) -> Kind:
    """What the members are."""
    return cast(Kind, task.params.ensemble_member)


def device(task: Task) -> str | None:
    """What the members compute on, where that is not the task's devices: trees know the CPU."""
    if task.params.ensemble_member in ("mlp", "boosted_trees"):
        return None
    cores = joblib.cpu_count()
    return f"CPU ({cores} core{'s' if cores > 1 else ''})"


def train_all(
    data: Data, subsets: Sequence[np.ndarray], seeds: Sequence[int], val: Rows, task: Task
) -> list[Member]:
    """One member a subset: trees in threads, other learners one after the other.

    Args:
      data: all rows.
      subsets: int64 [m] each, row indices.
      seeds: of each member.
      val: for learners that stop early.
      task: the ensemble's.
    """
    largest = max(map(len, subsets)) * data.x.itemsize * data.x.shape[1]
    threads = max(1, min(joblib.cpu_count(), COPIES_BYTES // max(largest, 1)))
    if kind_of(task) not in ("decision_tree", "ada_boost"):
        threads = 1
    jobs = (
        joblib.delayed(train_one)(data, subset, seed, val, task, number)
        for number, (subset, seed) in enumerate(zip(subsets, seeds, strict=True))
    )
    members: list[Member] = []
    for member in joblib.Parallel(threads, prefer="threads", return_as="generator")(jobs):
        members.append(member)
        say_done(len(members), len(subsets), task)
    return members


def train_one(
    data: Data, index: np.ndarray, seed: int, val: Rows, task: Task, number: int
) -> Member:
    """The member of one subset.

    Args:
      data: all rows.
      index: int64 [m], those that it sees.
      seed: its own.
      val: for learners that stop early.
      task: the ensemble's.
      number: from 0, for its logs.
    """
    params = task.params.ensemble
    kind = kind_of(task)
    if kind == "decision_tree":
        tree = DecisionTreeClassifier(max_depth=params.max_depth, random_state=seed)
        return tree.fit(data.x[index], data.labels[index], data.weights[index])
    if kind == "ada_boost":
        return boosted(ada_boost(params, params.rounds, 3, seed), data, index)
    from .. import learner  # which lists this module's learners

    own = task.params.model_copy(update={"learner": kind, "seed": seed})
    own_task = replace(task, params=own, log_dir=f"{task.log_dir}/member-{number}")
    return learner(kind)(data.rows.take(index), val, own_task).scorer


def say_done(done: int, of: int, task: Task) -> None:
    """Ten lines at most."""
    if done == of or done % max(1, of // 10) == 0:
        progress.say(f"{task.params.learner}: {done}/{of} members")


def probabilities(member: Member, data: Data, task: Task) -> np.ndarray:
    """float64 [n, n_classes] of a member on all rows."""
    if not isinstance(member, tf.Module):
        return np.asarray(member.predict_proba(data.x))
    blocks = []
    for start in range(0, len(data.rows), SCORE_ROWS):
        block = data.rows.take(np.arange(start, min(start + SCORE_ROWS, len(data.rows))))
        blocks.append(member(by_name(block, task.features)).numpy())
    return softmax(np.concatenate(blocks).astype(np.float64), axis=1)


def by_name(rows: Rows, features: Sequence[Feature]) -> dict[str, tf.Tensor]:
    """What `pack` makes `rows` of: name -> [n, width], float32 or int64."""
    columns, number, category = {}, 0, 0
    for feature in features:
        if feature.categories:
            ids = rows.categories[:, category : category + feature.width]
            columns[feature.name] = tf.constant(ids.astype(np.int64) + feature.lowest)
            category += feature.width
        else:
            columns[feature.name] = tf.constant(rows.numbers[:, number : number + feature.width])
            number += feature.width
    return columns
