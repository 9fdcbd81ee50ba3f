"""Settings of all tests."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tfx_imbalance.components import masking

# On CI a property is tried on the same examples every time; elsewhere on new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def _no_handler_stays() -> Iterator[None]:
    """What a test has logging write to is closed after it."""
    before, level = set(logging.root.handlers), logging.root.level
    yield
    for handler in set(logging.root.handlers) - before:
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def _no_secret_is_remembered() -> None:
    """What another test's config holds as a secret is not masked in this one."""
    masking._known.clear()
