"""What the tools tell the user: errors, tables, files."""

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from torch import distributed

from glore_mm.drafts import draft_of
from glore_mm.engine.processes import is_first_process, lost_another
from glore_mm.errors import STOPPED, SharedError, Stopped, UserError

_PATIENCE = 10  # seconds


def plain_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Let a tool's main end a UserError with its message alone and exit status 1.

    A training that was stopped and saved ends with exit status 75; elsewhere Ctrl-C and
    SIGTERM end it with 130 and 143, as shells have it, and leave nothing half-written.
    GLORE_TRACEBACK=1 in the environment shows where an error came from.
    """

    @wraps(main)
    def run() -> None:
        before = signal.getsignal(signal.SIGTERM)
        if 'RANK' not in os.environ:  # what waits for others would not be interrupted
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            main()
        except UserError as error:
            if os.environ.get('GLORE_TRACEBACK') == '1':
                raise
            # until they have found each other all processes make the same mistakes
            alike = isinstance(error, SharedError) or not distributed.is_initialized()
            if is_first_process() or not alike:
                print(f'error: {message_of(error)}', file=sys.stderr, flush=True)
            sys.exit(1)
        except KeyboardInterrupt as error:
            if os.environ.get('GLORE_TRACEBACK') == '1':
                raise
            if is_first_process():
                print(str(error) or 'interrupted', file=sys.stderr, flush=True)
            sys.exit(STOPPED if isinstance(error, Stopped) else 130)
        except Exception as error:
            if os.environ.get('GLORE_TRACEBACK') == '1' or not lost_another(error):
                raise
            # the launcher ends this one as soon as it has seen the other
            time.sleep(_PATIENCE)
            print('error: another process of this run has ended', file=sys.stderr)
            sys.exit(1)
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


def message_of(error: Exception) -> str:
    """What an exception says.

    A KeyError would quote it, and one from a data loader's worker starts with that
    worker's traceback.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    if text.startswith('Caught ') and 'Original Traceback' in text:
        text = text.rpartition(f'{type(error).__name__}: ')[2].strip()
    return text or type(error).__name__


def first_line_of(error: Exception) -> str:
    """The first line of what an exception says; libraries append advice, or a trace."""
    return message_of(error).strip().partition('\n')[0]


def ranked(
    scores: Sequence[float], classes: Sequence[str], top_k: int
) -> list[dict[str, Any]]:
    """The classes with the highest scores, the highest first: `label`, `score`."""
    best = np.argsort(-np.asarray(scores), kind='stable')[:top_k]
    return [dict(label=classes[i], score=round(float(scores[i]), 4)) for i in best]


def write_json(path: str, records: list[dict[str, Any]]) -> None:
    """Write records as a JSON list; the file appears when it is complete."""
    write_text(path, json.dumps(records, indent=2))


def write_csv(path: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV under a header; the file appears when it is complete."""
    with draft_of(path) as draft, open(draft, 'w', newline='') as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8; the file appears when it is complete."""
    with draft_of(path) as draft, open(draft, 'w', encoding='utf-8') as file:
        file.write(text)


def write_npz(path: str, **arrays: Any) -> None:
    """Write arrays by name as a compressed .npz; it appears when it is complete."""
    # savez adds .npz to a bare name
    with draft_of(path) as draft, open(draft, 'wb') as file:
        np.savez_compressed(file, **arrays)
