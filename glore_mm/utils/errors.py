"""Errors that end a tool, and their messages."""

import traceback
from collections.abc import Iterable

#: Exit status of a training that can be resumed: EX_TEMPFAIL of sysexits.h.
EXIT_INTERRUPTED = 75


class UserError(Exception):
    """The user gave something wrong: a file, a folder, a config key.

    The message says what is wrong, where, and what to do; the tools print it alone,
    without a traceback.
    """


class AllRanksError(UserError):
    """One that all processes of a run raise alike; the main process reports it."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was stopped by a signal; the message says what was saved."""


def shorten(text: str, shown: int = 100) -> str:
    """Quote a text for a message; of a long one only the beginning."""
    return repr(text if len(text) <= shown else f'{text[:shown]}…')


def summarize_list(names: Iterable[object], shown: int = 5) -> str:
    """The first few names of many, and how many more there are."""
    texts = list(map(str, names))
    more = f' and {len(texts) - shown} more' if len(texts) > shown else ''
    return ', '.join(texts[:shown]) + more


def error_message(error: Exception) -> str:
    """The message of an exception.

    A KeyError would quote it, and one from a data loader's worker starts with that
    worker's traceback. Where there is none, the line of code stands in for it.
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
    """The first line of the message; libraries append advice, or a trace."""
    return error_message(error).strip().partition('\n')[0]


class UnreadableSampleError(UserError):
    """A sample that cannot be used: its file is missing, damaged or too short."""

    @classmethod
    def of(
        cls, path: str, problem: str, advice: str = 'Fetch it again'
    ) -> 'UnreadableSampleError':
        """The error for a file: what is wrong with it, and what can help."""
        return cls(f'{path}: {problem}. {advice}.')

    def or_out_of(self, place: str) -> str:
        """The message, with the advice to remove the sample from a place."""
        return f'{str(self).removesuffix(".")}, or take it out of {place}.'
