"""What ends a tool: an error that a user can mend, a signal."""

from collections.abc import Iterable

#: Exit status of a tool that was stopped and can go on: EX_TEMPFAIL of sysexits.h.
STOPPED = 75


class UserError(Exception):
    """Something the user gave is wrong: a file, a folder, a config key.

    The message says what is wrong, where, and what to do; the tools print it alone,
    without a traceback.
    """


class SharedError(UserError):
    """One that all processes of a run raise alike; the first of them tells it."""


class Stopped(KeyboardInterrupt):
    """A run ends because a signal asked for it; the message says what was saved."""


def quoted(text: str, shown: int = 100) -> str:
    """A text for a message: in quotes, and its beginning only where it is long."""
    return repr(text if len(text) <= shown else f'{text[:shown]}…')


def listed(names: Iterable[object], shown: int = 5) -> str:
    """The first few of many names, for a message, and how many more there are."""
    texts = list(map(str, names))
    more = f' and {len(texts) - shown} more' if len(texts) > shown else ''
    return ', '.join(texts[:shown]) + more
