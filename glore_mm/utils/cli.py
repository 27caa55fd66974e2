"""Command lines: the parsers that the tools share, and how a tool ends.

A tool imports what it needs after it has parsed its arguments: `--help` and a wrong
option answer without torch.
"""

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from glore_mm.utils.distributed import (
    is_initialized,
    is_main_process,
    is_peer_failure,
)
from glore_mm.utils.errors import (
    EXIT_INTERRUPTED,
    AllRanksError,
    TrainingInterrupted,
    UserError,
    error_message,
)

_LAUNCHER_WAIT = 10  # seconds


def cli_entry_point(main: Callable[..., None]) -> Callable[..., None]:
    """Decorate the main of a tool: a UserError prints its message, exit status 1.

    A training that was interrupted and saved ends with exit status 75. Elsewhere Ctrl-C
    ends a tool with 130 and SIGTERM with 143, as in shells, and nothing half-written is
    left. GLORE_TRACEBACK=1 in the environment prints the traceback of an error.
    """

    @wraps(main)
    def run(*args: Any) -> None:
        for stream in sys.stdout, sys.stderr:  # not every name is in their encoding
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors='backslashreplace')
        before = signal.getsignal(signal.SIGTERM)
        if 'RANK' not in os.environ:  # a collective operation would not be interrupted
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            main(*args)
        except UserError as error:
            if os.environ.get('GLORE_TRACEBACK') == '1':
                raise
            # until they are connected, all processes raise the same errors
            alike = isinstance(error, AllRanksError) or not is_initialized()
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
            # the launcher ends this process once it notices that the other has ended
            time.sleep(_LAUNCHER_WAIT)
            print('error: another process of this run has ended', file=sys.stderr)
            sys.exit(1)
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


class _Parser(argparse.ArgumentParser):
    """A parser whose help begins with what the tool does, and an example.

    Attributes:
        intro (str): The beginning of the help.
        loads_torch (bool): Tell the user of a terminal that the tool imports torch,
            which takes seconds.
    """

    intro = ''
    loads_torch = False

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        parsed = super().parse_args(*args, **kwargs)
        if self.loads_torch and sys.stderr.isatty() and is_main_process():
            print('loading PyTorch and OpenMMLab', file=sys.stderr, flush=True)
        return parsed

    def format_help(self) -> str:
        return self.intro + super().format_help()


def make_parser(doc: str | None) -> _Parser:
    """Make a parser for a tool.

    Args:
        doc (str | None): The tool's docstring, which `python -OO` drops: a line, and
            below it an example. The help begins with it.
    """
    parser = _Parser()
    parser.intro = f'{doc}\n' if doc else ''
    return parser


def make_config_parser(doc: str | None) -> argparse.ArgumentParser:
    """`make_parser` for a tool that takes a config and overrides of its keys."""
    parser = make_parser(doc)
    parser.loads_torch = True
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
        help='how the processes are started (default: none, a single process)',
    )
    parser.add_argument(
        '--compile', action='store_true', help='run the network by torch.compile'
    )
    return parser
