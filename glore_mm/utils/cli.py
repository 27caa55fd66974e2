"""Command lines: parsers that the tools share, and how a tool ends."""

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps

from torch import distributed

from glore_mm.utils.distributed import is_main_process, is_peer_failure
from glore_mm.utils.errors import (
    EXIT_INTERRUPTED,
    AllRanksError,
    TrainingInterrupted,
    UserError,
    error_message,
)

_PATIENCE = 10  # seconds


def cli_entry_point(main: Callable[[], None]) -> Callable[[], None]:
    """Let a tool's main end a UserError with its message alone and exit status 1.

    A training that was stopped and saved ends with exit status 75; elsewhere Ctrl-C and
    SIGTERM end it with 130 and 143, as shells have it, and leave nothing half-written.
    GLORE_TRACEBACK=1 in the environment shows where an error came from.
    """

    @wraps(main)
    def run() -> None:
        for stream in sys.stdout, sys.stderr:  # a name need not be in its alphabet
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors='backslashreplace')
        before = signal.getsignal(signal.SIGTERM)
        if 'RANK' not in os.environ:  # what waits for others would not be interrupted
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            main()
        except UserError as error:
            if os.environ.get('GLORE_TRACEBACK') == '1':
                raise
            # until they have found each other all processes make the same mistakes
            alike = isinstance(error, AllRanksError) or not distributed.is_initialized()
            if is_main_process() or not alike:
                print(f'error: {error_message(error)}', file=sys.stderr, flush=True)
            sys.exit(1)
        except KeyboardInterrupt as error:
            if os.environ.get('GLORE_TRACEBACK') == '1':
                raise
            if is_main_process():
                print(str(error) or 'interrupted', file=sys.stderr, flush=True)
            sys.exit(
                EXIT_INTERRUPTED if isinstance(error, TrainingInterrupted) else 130
            )
        except Exception as error:
            if os.environ.get('GLORE_TRACEBACK') == '1' or not is_peer_failure(error):
                raise
            # the launcher ends this one as soon as it has seen the other
            time.sleep(_PATIENCE)
            print('error: another process of this run has ended', file=sys.stderr)
            sys.exit(1)
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Make a parser for a tool.

    Args:
        doc (str | None): The tool's docstring, which `python -OO` drops; its first line
            becomes the description.
    """
    return argparse.ArgumentParser(description=(doc or '').partition('\n')[0])


def make_config_parser(doc: str | None) -> argparse.ArgumentParser:
    """`make_parser` for a tool that takes a config and overrides of its keys."""
    parser = make_parser(doc)
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Let a parser take overrides of a config's keys."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override keys of the config: optim_wrapper.optimizer.lr=0.02',
    )


def make_inputs_parser(doc: str | None) -> argparse.ArgumentParser:
    """`make_config_parser` for a tool that runs a checkpoint on files."""
    parser = make_config_parser(doc)
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument('inputs', nargs='+', help='files, folders or glob patterns')
    return parser


def make_runner_parser(doc: str | None) -> argparse.ArgumentParser:
    """`make_config_parser` for a tool that starts a Runner."""
    parser = make_config_parser(doc)
    parser.add_argument(
        '--work-dir', help='for logs and checkpoints (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes (default: none, there is one)',
    )
    parser.add_argument(
        '--compile', action='store_true', help='run the network by torch.compile'
    )
    return parser
