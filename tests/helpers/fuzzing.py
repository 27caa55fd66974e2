"""Helpers of the fuzz tests: number of cases, damage, restricted processes.

`@fuzz(cases, …)` turns a function of generated arguments into a test. The suite calls
it `cases` times, with the same arguments in each run. With GLORE_FUZZ=N in the
environment it is called N times as often, with new arguments, and a table is printed.
"""

import functools
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import cv2
import hypothesis
import torch
from hypothesis import strategies as st

from glore_mm.utils.errors import UserError

TIMES = int(os.environ.get('GLORE_FUZZ', 0))
_SCRATCH = tempfile.TemporaryDirectory(prefix='glore-fuzz-')
#: A folder of this process for files of the tests.
SCRATCH = Path(_SCRATCH.name)
hypothesis.configuration.set_hypothesis_home_dir(SCRATCH / 'hypothesis')


#: Number of cases, of errors and of failures of each target.
COUNTS: dict[str, list[int]] = {}


def fuzz(cases: int, **strategies: st.SearchStrategy) -> Callable:
    """Test a function with generated arguments; it returns an error message or None."""
    settings = hypothesis.settings(
        max_examples=cases * (TIMES or 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def decorate(target: Callable[..., str | None]) -> Callable:
        @functools.wraps(target)
        def case(*args, **kwargs) -> None:
            count = COUNTS.setdefault(target.__name__.removeprefix('test_'), [0, 0, 0])
            count[0] += 1
            try:
                count[1] += target(*args, **kwargs) is not None
            except Exception:
                count[2] += 1
                raise

        return settings(hypothesis.given(**strategies)(case))

    return decorate


# ------------------------------------------------------------------------- outcomes


def refusal(call: Callable, *args) -> str | None:
    """Message of the UserError that a call raises; None if it raises none."""
    return attempt(call, *args)[1]


def attempt(call: Callable, *args) -> tuple[object, str | None]:
    """Return the result of a call and the message of its UserError."""
    try:
        return call(*args), None
    except UserError as error:
        return None, str(error)


def assert_clear(message: str, *names: object) -> None:
    """Check that a message is one line of limited length and names what is wrong."""
    assert message == message.strip() and '\n' not in message, message
    assert len(message) < 1000, message
    for name in names:
        assert str(name) in message, message


# --------------------------------------------------------------------------- damage


_ACCIDENTS = ('flip', 'number', 'cut', 'lose', 'repeat', 'insert', 'splice')


class File:
    """Content of a file, its name and the damage to it."""

    def __init__(self, name: str, content: bytes, accidents: list[str]) -> None:
        self.name, self.content, self.accidents = name, content, accidents

    def __repr__(self) -> str:
        return ', '.join((self.name, *self.accidents))


@st.composite
def damaged(draw, make: Callable[[], dict[str, bytes]]) -> File:
    """Generate one of several files with several kinds of damage."""
    wholes = make()
    name = draw(st.sampled_from(sorted(wholes)))
    content, accidents = bytearray(wholes[name]), []
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.sampled_from([1, 2, 4, 8, 64, 512]))
        kind, what = draw(st.sampled_from(_ACCIDENTS)), length
        match kind:
            case 'flip' if content:
                what = draw(st.integers(0, 7))
                content[at] ^= 1 << what
            case 'number':  # such as lengths, counts, offsets
                what = draw(st.sampled_from([0, 1, 0x7F, 0x7FFF, 0x7FFFFFFF, -1]))
                size, order = min(length, 8), draw(st.sampled_from(['little', 'big']))
                number = what & ((1 << 8 * size) - 1)
                what = number.to_bytes(size, order)
                content[at : at + size] = what
            case 'cut':
                del content[at:]
            case 'lose':
                del content[at : at + length]
            case 'repeat':
                content[at:at] = content[at : at + length]
            case 'insert':
                what = draw(st.binary(max_size=16))
                content[at:at] = what
            case 'splice':
                other = draw(st.sampled_from(sorted(wholes)))
                begin = draw(st.integers(0, len(wholes[other])))
                what = f'{other}[{begin}:]'
                content[at:] = wholes[other][begin:]
        accidents.append(f'{kind} at {at}: {what}')
    return File(name, bytes(content), accidents)


# ------------------------------------------------------------- restricted processes

#: Prefixes of audit events that a reader must not raise.
_FORBIDDEN = (
    'os.', 'subprocess.', 'pty.', 'socket.', 'urllib.', 'ftplib.', 'shutil.',
    'tempfile.', 'webbrowser.', 'ctypes.dlopen',
)  # fmt: skip
_ALLOWED = ('os.listdir', 'os.scandir', 'os.walk', 'os.fwalk')
#: Modules that may be imported late.
_PACKAGES = {'torch', 'encodings', 'av'}
#: Forbidden events that occurred; None while everything is allowed.
_seen: list[str] | None = None


def _watch(event: str, args: tuple) -> None:
    if _seen is None:
        return
    wrong = event.startswith(_FORBIDDEN) and event not in _ALLOWED
    if event == 'open':
        _, mode, flags = args
        wrong = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        wrong = wrong or set(mode or 'r') & set('wax+')
    elif event == 'import':
        wrong = args[0].partition('.')[0] not in _PACKAGES
    elif event == 'exec':
        wrong = not _PACKAGES & set(Path(args[0].co_filename).parts)
    if wrong:
        _seen.append(f'{event} {args}'[:200])
        raise PermissionError(event)


@functools.cache
def _set_watch() -> None:
    sys.dont_write_bytecode = True
    sys.addaudithook(_watch)


def watched(function: Callable, *args) -> tuple[object, str | None]:
    """Like `attempt`; fails if the function raises forbidden events."""
    global _seen
    _set_watch()
    _seen = []
    try:
        result = attempt(function, *args)
    finally:
        seen, _seen = _seen, None
    assert not seen, seen
    return result


class Guard:
    """Calls a function in a separate process that may only read and use little memory.

    Args:
        function (Callable): Function to call.
        prepare (Callable): Called in the process before the restrictions, to import
            modules that are imported on first use.
        memory (int): Memory that the function may use in addition, in bytes.
    """

    #: Whether to call functions in this process instead, with all its memory.
    here = False

    def __init__(
        self, function: Callable, prepare: Callable, memory: int = 1 << 30
    ) -> None:
        self._function, self._prepare, self._memory = function, prepare, memory
        self._process = None

    def __call__(self, *args) -> tuple[object, str | None]:
        """Like `watched`; also fails if the process dies or uses too much memory."""
        if self.here:
            return watched(self._function, *args)
        if self._process is None:
            self._start()
        try:
            self._pipe.send(args)
            if not self._pipe.poll(60):
                raise EOFError('it takes more than a minute')
            result, failure = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            failure = repr(error)
        if failure:
            self._process.kill()
            self._process.join()
            self._process = None
            raise AssertionError(failure)
        return result

    def _start(self) -> None:
        fork = multiprocessing.get_context('fork')
        self._pipe, theirs = fork.Pipe()
        self._process = fork.Process(target=self._serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _serve(self, pipe) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        self._prepare()
        most = _memory_used() + self._memory
        # memory that is reserved but not used is allowed, within a limit
        limit = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, limit))
        while True:
            try:
                args = pipe.recv()
            except EOFError:
                os._exit(0)
            result, failure = None, None
            try:
                result = watched(self._function, *args)
            except BaseException:
                failure = traceback.format_exc()
            if _memory_used() > most:
                failure = f'it used {_memory_used() >> 20} MB'
            pipe.send((result, failure))


def _memory_used() -> int:
    """Peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
