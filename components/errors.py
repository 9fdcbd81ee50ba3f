"""Errors that are the user's or the data's, told in one line without a traceback."""


class ImbalanceError(Exception):
    """Base of the errors whose message is meant for the user as it stands."""

    exit_code = 1


class UserError(ImbalanceError):
    """A mistake in the config, a path or the form of the data: what, where, expected, what to do."""

    exit_code = 2


class DataCheckError(ImbalanceError):
    """The data was read but a configured check forbids training on it."""

    exit_code = 4
