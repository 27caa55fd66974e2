"""Handle SIGINT and SIGTERM in training: save a checkpoint, then exit."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from torch import distributed
from torch.utils.data import DataLoader

from glore_mm.utils.distributed import is_main_process, is_peer_failure
from glore_mm.utils.errors import TrainingInterrupted

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_GRACE = 60  # seconds for which a worker still loads data after SIGTERM
_SIGNAL_WAIT = 10  # seconds to wait for a launcher's signal after another process ended

_received: list[str] = []  # names of the signals received


@contextmanager
def handle_signals() -> Iterator[None]:
    """Record SIGTERM and the first Ctrl-C for `pending_signal`.

    A second Ctrl-C ends the program at once.
    """
    _received.clear()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOPPING:
            before[number] = signal.signal(number, _record)
    try:
        yield
    except TrainingInterrupted:
        if distributed.is_initialized():
            # the launcher sends SIGTERM again when another process has ended
            before.pop(signal.SIGTERM, None)
        raise
    except Exception as error:
        _restore(before)
        if _received and is_peer_failure(error):  # the other process ended by a signal
            signal.raise_signal(signal.Signals[_received[0]])
        raise
    finally:
        _restore(before)


def pending_signal() -> str | None:
    """Return the name of the signal that asked this process to stop, if any."""
    return _received[0] if _received else None


def was_peer_signalled(error: Exception) -> bool:
    """Whether an error occurred because a signal stopped another process.

    In that case this process receives the signal, too, from its sender or from the
    launcher.
    """
    if not is_peer_failure(error):
        return False
    limit = time.monotonic() + _SIGNAL_WAIT
    while not _received and time.monotonic() < limit:
        time.sleep(0.1)
    return bool(_received)


def raise_interrupted(iteration: int, saved: str | None) -> NoReturn:
    """End training.

    Args:
        iteration (int): Number of completed iterations.
        saved (str, optional): The checkpoint to resume from.

    Raises:
        TrainingInterrupted: Always.
    """
    source = pending_signal() or 'another process'
    result = f'saved {saved}; --resume continues' if saved else 'nothing was saved'
    raise TrainingInterrupted(
        f'stopped by {source} after {iteration} iterations: {result}'
    )


def protect_workers(loader: DataLoader[Any]) -> None:
    """Make the workers of a data loader ignore the signals that stop a training.

    A signal reaches all processes of a job. If it ended the workers, the current
    iteration would fail before training could be saved.

    Args:
        loader (DataLoader): The data loader; its `worker_init_fn` is still called.
    """
    loader.worker_init_fn = partial(_ignore_signals, loader.worker_init_fn)
    start_workers = loader._get_iterator

    def start_workers_blocked() -> Any:
        # PyTorch lets SIGTERM end a worker until its worker_init_fn is called
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            return start_workers()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    loader._get_iterator = start_workers_blocked  # type: ignore[method-assign]


def _ignore_signals(init: Callable[[int], None] | None, worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    if init is not None:
        init(worker)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _record(number: int, frame: object) -> None:
    if number == signal.SIGINT and pending_signal() == 'SIGINT':
        raise KeyboardInterrupt
    _received.append(signal.Signals(number).name)
    if number == signal.SIGINT and is_main_process():
        # os.write: the signal may have interrupted a print, which is not reentrant
        os.write(2, b'saving after this iteration; Ctrl-C again quits at once\n')
