"""Settings of all tests."""

import os

from hypothesis import settings

# On CI a property is tried on the same examples every time; elsewhere on new ones.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
