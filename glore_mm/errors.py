"""The error that a user can mend."""


class UserError(Exception):
    """Something the user gave is wrong: a file, a folder, a config key.

    The message says what is wrong, where, and what to do; the tools print it alone,
    without a traceback.
    """
