"""What the fuzzers share: how often they try, damage, processes that may do little.

`@fuzz(cases, …)` makes a test of a function of generated arguments. In the suite it is
called with so many cases, the same each time; GLORE_FUZZ=N in the environment means N
times as many, others each time, and a table at the end.
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
#: A folder of this process, in which the tests may leave what they like.
SCRATCH = Path(_SCRATCH.name)
hypothesis.configuration.set_hypothesis_home_dir(SCRATCH / 'hypothesis')


#: Of each target: its cases, how many of these were refused, how many failed.
COUNTS: dict[str, list[int]] = {}


def fuzz(cases: int, **strategies: st.SearchStrategy) -> Callable:
    """Test a function with generated arguments; it returns the message of a refusal."""
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
    """The message with which a call refuses its arguments; None where it does not."""
    return attempt(call, *args)[1]


def attempt(call: Callable, *args) -> tuple[object, str | None]:
    """What a call returns, and the message with which it refuses instead."""
    try:
        return call(*args), None
    except UserError as error:
        return None, str(error)


def assert_clear(message: str, *names: object) -> None:
    """One line of bearable length that names what is wrong."""
    assert message == message.strip() and '\n' not in message, message
    assert len(message) < 1000, message
    for name in names:
        assert str(name) in message, message


# --------------------------------------------------------------------------- damage


_ACCIDENTS = ('flip', 'number', 'cut', 'lose', 'repeat', 'insert', 'splice')


class File:
    """A file's content, what it was and what has befallen it."""

    def __init__(self, name: str, content: bytes, accidents: list[str]) -> None:
        self.name, self.content, self.accidents = name, content, accidents

    def __repr__(self) -> str:
        return ', '.join((self.name, *self.accidents))


@st.composite
def damaged(draw, make: Callable[[], dict[str, bytes]]) -> File:
    """One of several files, after accidents of several kinds."""
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
            case 'number':  # lengths, counts, offsets
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


# ------------------------------------------------------------- processes under guard

#: What no reader has a reason to do; the beginnings of audit events' names.
_FORBIDDEN = (
    'os.', 'subprocess.', 'pty.', 'socket.', 'urllib.', 'ftplib.', 'shutil.',
    'tempfile.', 'webbrowser.', 'ctypes.dlopen',
)  # fmt: skip
_ALLOWED = ('os.listdir', 'os.scandir', 'os.walk', 'os.fwalk')
#: What may be imported late.
_PACKAGES = {'torch', 'encodings', 'av'}
#: What was done in spite of that; None while anything may be done.
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
    """As `attempt`; fails if the function did what it should not."""
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
    """A function in a process of its own, which may only read, and use little memory.

    Args:
        function (Callable): What to call.
        prepare (Callable): Is called there before the guard is set, for what is
            imported on first use.
        memory (int): Bytes that it may come to use in addition to those it uses then.
    """

    #: Whether to call functions here instead, with all the memory.
    here = False

    def __init__(
        self, function: Callable, prepare: Callable, memory: int = 1 << 30
    ) -> None:
        self._function, self._prepare, self._memory = function, prepare, memory
        self._process = None

    def __call__(self, *args) -> tuple[object, str | None]:
        """As `watched`; fails, too, if the process dies or takes more than it may."""
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
        # what is claimed and never touched is no matter; but no one shall run out of it
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
    """Bytes that this process has come to use at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
