"""Exceptions for users, and helpers for error messages."""

import traceback
from collections.abc import Iterable

#: Exit status of a training that was stopped and can be resumed: EX_TEMPFAIL of
#: sysexits.h.
EXIT_INTERRUPTED = 75


class UserError(Exception):
    """An error in the user's input: a file, a folder, a config key.

    The message says what is wrong, where, and what to do. The tools print the message
    without a traceback.
    """


class AllRanksError(UserError):
    """A UserError that all processes of a run raise; the main process prints it."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says what was saved."""


def shorten(text: str) -> str:
    """Quote a text for a message; cut it off after 100 characters."""
    return repr(text if len(text) <= 100 else f'{text[:100]}…')


def summarize_list(names: Iterable[object], shown: int = 5) -> str:
    """Join the first few names, and add the number of the others."""
    texts = list(map(str, names))
    more = f' and {len(texts) - shown} more' if len(texts) > shown else ''
    return ', '.join(texts[:shown]) + more


def error_message(error: Exception) -> str:
    """Return the message of an exception.

    Removes the quotes of a KeyError and the worker's traceback of an exception from a
    data loader. If there is no message, returns the exception's type and line of code.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if text.startswith('Caught ') and 'Original Traceback' in text:
        text = text.rpartition(f'{type(error).__name__}: ')[2].strip()
    if text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    where = f' in {frames[-1].filename}: {frames[-1].line}' if frames else ''
    return f'{type(error).__name__}{where}'


def error_summary(error: Exception) -> str:
    """Return the first line of the message, as libraries append advice or a trace."""
    return error_message(error).strip().partition('\n')[0]


class UnreadableSampleError(UserError):
    """The file of a sample is missing, damaged or too short."""

    @classmethod
    def of(
        cls, path: str, problem: str, advice: str = 'Fetch it again'
    ) -> 'UnreadableSampleError':
        """Build the error from a file, its problem and an advice."""
        return cls(f'{path}: {problem}. {advice}.')

    def with_removal_advice(self, place: str) -> str:
        """Return the message plus the advice to remove the sample from `place`."""
        return f'{str(self).removesuffix(".")}, or take it out of {place}.'
