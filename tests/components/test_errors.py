"""Our errors are found again in what Beam makes of an exception in a worker."""

import pickle

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tfx_imbalance.components.errors import DataCheckError, UserError, recognise


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("kind", [UserError, DataCheckError])
def test_an_error_raised_in_a_worker_keeps_kind_and_words(kind: type[Exception]) -> None:
    words = "data.csv: row 7: column 'x': found inf; expected a finite number"
    with (
        pytest.raises(Exception, match="column 'x'") as raised,
        beam.Pipeline(runner=FnApiRunner()) as pipeline,
    ):
        _ = pipeline | beam.Create([kind(words)]) | beam.Map(_fail)
    found = recognise(raised.value)
    assert (type(found), str(found)) == (kind, words)


def test_each_argument_is_a_line_also_behind_beam() -> None:
    error = UserError("a\nb\x1b.csv: bad", "c.csv: worse")
    told = "a\\nb\\x1b.csv: bad\nc.csv: worse"
    assert str(error) == told == str(pickle.loads(pickle.dumps(error)))
    wrapped = recognise(UserError(f"{error} [while running 'x'-ptransform-1']"))
    assert wrapped is not None and str(wrapped).startswith("a\\nb\\x1b.csv: bad")
    assert str(recognise(UserError(*error.args[:-1], "c.csv: worse [while running 'x']"))) == told


def test_an_error_in_a_traced_function_keeps_its_words() -> None:
    def fail(x: tf.Tensor) -> tf.Tensor:
        if x is not None:
            raise UserError("column 'x': bad")
        return x

    with pytest.raises(UserError) as raised:
        tf.function(fail)(tf.constant(1))
    assert str(recognise(raised.value)) == "column 'x': bad"


@pytest.mark.parametrize("kind", [UserError, DataCheckError])
def test_an_error_quoted_in_a_runner_s_own_is_found(kind: type[Exception]) -> None:
    quoted = RuntimeError(f"worker failed: tfx_imbalance.components.errors.{kind.__name__}: no\nat")
    found = recognise(quoted)
    assert (type(found), str(found)) == (kind, "no")


@pytest.mark.parametrize(
    "text", ["write failed: No space left on device", "database or disk is full query: INSERT"]
)
def test_a_full_disk_is_the_user_s_to_mend(text: str) -> None:
    assert "no space left" in str(recognise(RuntimeError(text)))


def test_a_fault_of_ours_is_none_of_these() -> None:
    assert recognise(ValueError("shapes do not match")) is None
