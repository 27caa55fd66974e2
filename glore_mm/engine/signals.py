"""SIGINT and SIGTERM during training: save, then exit."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from torch import distributed

from glore_mm.utils.distributed import is_main_process, is_peer_failure
from glore_mm.utils.errors import TrainingInterrupted

_GRACE = 60  # seconds that a worker goes on loading data after SIGTERM
_PATIENCE = 10  # seconds for a launcher that has seen another process end

_received: list[str] = []  # names of the signals that came


@contextmanager
def handle_signals() -> Iterator[None]:
    """Record SIGTERM and the first Ctrl-C for `pending_signal`.

    A second Ctrl-C ends the program at once.
    """
    _received.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, _note)
    try:
        yield
    except TrainingInterrupted:
        if distributed.is_initialized():
            # the launcher sends it once more as soon as another process has ended
            before.pop(signal.SIGTERM, None)
        raise
    except Exception as error:
        _restore(before)
        if _received and is_peer_failure(error):  # the launcher has seen the other end
            signal.raise_signal(signal.Signals[_received[0]])
        raise
    finally:
        _restore(before)


def pending_signal() -> str | None:
    """The name of the signal that asks this process to stop."""
    return _received[0] if _received else None


def was_peer_signalled(error: Exception) -> bool:
    """Whether another process does not answer as a signal has stopped it.

    Who sent the signal, or the launcher, then sends it to this process, too.
    """
    if not is_peer_failure(error):
        return False
    limit = time.monotonic() + _PATIENCE
    while not _received and time.monotonic() < limit:
        time.sleep(0.1)
    return bool(_received)


def raise_interrupted(iteration: int, saved: str | None) -> NoReturn:
    """End training.

    Args:
        iteration (int): How many were done.
        saved (str, optional): The checkpoint to resume from.

    Raises:
        TrainingInterrupted: Always.
    """
    by = pending_signal() or 'another process'
    what = f'saved {saved}; --resume continues' if saved else 'nothing was saved'
    text = f'stopped by {by} after {iteration} iterations: {what}'
    raise TrainingInterrupted(text)


def ignore_signals_in_workers(
    init: Callable[[int], None] | None,
) -> Callable[[int], None]:
    """A worker_init_fn for workers that ignore the signals that stop a training.

    The signals reach all processes of a job. Without its workers, the running iteration
    would fail before it could be saved.

    Args:
        init (Callable): The worker_init_fn to call then.
    """
    return partial(_outlive, init)


def _outlive(init: Callable[[int], None] | None, worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    if init is not None:
        init(worker)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _note(number: int, frame: object) -> None:
    if number == signal.SIGINT and pending_signal() == 'SIGINT':
        raise KeyboardInterrupt
    _received.append(signal.Signals(number).name)
    if number == signal.SIGINT and is_main_process():
        # by os.write, for print could be what was interrupted
        os.write(2, b'saving after this iteration; Ctrl-C again ends it at once\n')
