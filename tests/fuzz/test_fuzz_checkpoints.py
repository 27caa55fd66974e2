"""Fuzzing of checkpoint files: weights or one line of error; no code is run."""

import functools
import io
import pickle
import struct
import zipfile

import numpy as np
import torch
from archives import tar_bytes
from fuzzing import SCRATCH, Guard, assert_clear, damaged, fuzz
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from mxnet_files import linear
from safetensors.torch import save as safetensors

from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.checkpoints.mxnet import is_mxnet, read_mxnet_checkpoint

CHECKPOINT = SCRATCH / 'a.pth'
SAFETENSORS = SCRATCH / 'a.safetensors'
SENTINEL = SCRATCH / 'was run'


@functools.cache
def files() -> dict[str, bytes]:
    """Checkpoint of one network in each format."""
    state = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)
    ).state_dict()
    meta = dict(epoch=1, iter=2, dataset_meta=dict(classes=('a', 'b')))
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    found = {'safetensors': safetensors(state, dict(dataset_meta='{"classes": ["a"]}'))}
    for name, new in (('zip', True), ('legacy', False)):
        file = io.BytesIO()
        content = dict(state_dict=state, meta=meta, message_hub=dict(loss=history))
        torch.save(content, file, _use_new_zipfile_serialization=new)
        found[name] = file.getvalue()
    params, symbol = linear()
    found['mxnet'] = tar_bytes({'a-0000.params': params, 'a-symbol.json': symbol})
    found['archive'] = tar_bytes({'a.pth.tar': found['zip']})
    return found


@functools.cache
def pickles() -> dict[str, bytes]:
    """The pickle in the zip file."""
    with zipfile.ZipFile(io.BytesIO(files()['zip'])) as archive:
        return {
            'pickle': archive.read(next(n for n in archive.namelist() if 'pkl' in n))
        }


def zipped(program: bytes) -> bytes:
    """The zip file with another pickle and correct check sums."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(files()['zip'])) as old,
        zipfile.ZipFile(file, 'w') as new,
    ):
        for name in old.namelist():
            new.writestr(name, program if name.endswith('.pkl') else old.read(name))
    return file.getvalue()


def read(path: str) -> None:
    """Check that the content is a dict with numeric arrays."""
    if is_mxnet(path):
        content = read_mxnet_checkpoint(path).arrays
    else:
        content = read_checkpoint(path)
    assert isinstance(content, dict)
    seen, rest = set(), [content]
    while rest:
        value = rest.pop()
        if isinstance(value, np.ndarray | np.generic):
            assert value.dtype in ('i8', 'f4', 'f8')
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            rest += [*value, *value.values()]
        elif isinstance(value, list | tuple | set):
            rest += value
        elif isinstance(value, HistoryBuffer):
            rest += vars(value).values()


def prepare() -> None:
    repr(torch.ones(1))  # imported for torch's messages
    for name, content in files().items():
        path = SCRATCH / f'good.{name}'
        path.write_bytes(content)
        read(str(path))


guarded = Guard(read, prepare)


def check(content: bytes, path=CHECKPOINT) -> str | None:
    path.write_bytes(content)
    _, message = guarded(str(path))
    assert not SENTINEL.exists()
    if message:
        assert_clear(message, path)
        assert 'Re-running' not in message  # torch's advice to load without safety
    return message


@fuzz(250, file=damaged(files))
def test_checkpoints(file):
    path = SAFETENSORS if file.name == 'safetensors' else CHECKPOINT
    return check(file.content, path)


@fuzz(150, file=damaged(pickles))
def test_pickles_of_checkpoints(file):
    return check(zipped(file.content))


# ------------------------------------------------------------------ hostile pickles

HOSTILE = (
    'os.system', 'posix.system', 'builtins.eval', 'builtins.exec', 'builtins.open',
    'builtins.__import__', 'subprocess.Popen', 'shutil.rmtree', 'antigravity.x',
    'socket.create_connection', 'importlib.import_module', 'torch.load',
    'torch.hub.load', 'numpy.load',
)  # fmt: skip
ALLOWED = (
    'builtins.getattr', 'builtins.bytearray', 'builtins.set', '_codecs.encode',
    'collections.OrderedDict', 'collections.Counter', 'numpy.ndarray', 'numpy.dtype',
    'numpy.core.multiarray._reconstruct', 'numpy._core.multiarray.scalar',
    'mmengine.logging.history_buffer.HistoryBuffer', 'torch.Size', 'torch.device',
    'torch.FloatStorage', 'torch.float32', 'torch.Tensor',
    'torch.storage.UntypedStorage', 'torch.nn.parameter.Parameter',
    'torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_parameter',
    'torch._utils._rebuild_sparse_tensor', 'torch._utils._rebuild_qtensor',
    'torch._utils._rebuild_meta_tensor_no_storage',
    'torch._utils._rebuild_wrapper_subclass', 'torch._tensor._rebuild_from_type_v2',
    'torch.serialization._get_layout',
)  # fmt: skip
STRINGS = (
    f'touch {SENTINEL}', f"open('{SENTINEL}', 'w')", str(SENTINEL), 'w', '', 'x', 'cpu',
    'storage', '0', 'zip', 'min', '__reduce__', 'latin1',
)  # fmt: skip
NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 2**31, 4 * 10**9, 10**12)
NONE, TRUE, FALSE, MEMO = b'N', b'\x88', b'\x89', b'h\0'


def text(value: str) -> bytes:
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def number(value: int) -> bytes:
    return b'\x8a\x09' + value.to_bytes(9, 'little', signed=True)


def tupled(*values: bytes) -> bytes:
    return b'(' + b''.join(values) + b't'


def named(value: str) -> bytes:
    module, _, attribute = value.rpartition('.')
    return f'c{module}\n{attribute}\n'.encode()


def reduced(name: str, *values: bytes) -> bytes:
    return named(name) + tupled(*values) + b'R'


def encoded(data: bytes) -> bytes:
    return reduced('_codecs.encode', text(data.decode('latin1')), text('latin1'))


@st.composite
def of_numpy(draw) -> bytes:
    """The pickle of an array or its type, with other contents."""
    name = text(draw(st.sampled_from(['f8', 'O'])))
    shape, data = tupled(number(1)), encoded(bytes(8))
    kind = reduced('numpy.dtype', name, FALSE, TRUE)
    if draw(st.booleans()):
        parts = [draw(st.sampled_from([NONE, tupled(kind, shape)])) for _ in range(3)]
        parts += [number(draw(st.sampled_from([-1, 8]))) for _ in range(2)]
        flags = number(draw(st.sampled_from([0, 63])))
        kind += tupled(number(3), text('<'), *parts, flags) + b'b'
    array = reduced(
        'numpy.core.multiarray._reconstruct',
        named('numpy.ndarray'),
        tupled(number(0)),
        encoded(b'b'),
    )
    return draw(
        st.sampled_from(
            [
                kind,
                array + tupled(number(1), shape, kind, FALSE, data) + b'b',
                reduced('numpy.ndarray', shape, name, data),
                reduced('numpy.core.multiarray.scalar', kind, data),
            ]
        )
    )


known = st.sampled_from(ALLOWED * 3 + HOSTILE)
constants = st.one_of(
    known.map(named),
    st.sampled_from(STRINGS).map(text),
    st.sampled_from(NUMBERS).map(number),
    st.floats().map(lambda value: b'G' + struct.pack('>d', value)),
    st.binary(max_size=9).map(encoded),
    st.sampled_from([NONE, TRUE, MEMO, b')', b'}', b']', b'\x8f']),
    of_numpy(),
    of_numpy(),
)


@st.composite
def pushing(draw, depth: int = 3) -> bytes:
    """A program that leaves one value on the stack, computed from others."""
    if depth == 0 or draw(st.booleans()):
        return draw(constants)
    values = [draw(pushing(depth - 1)) for _ in range(draw(st.integers(1, 3)))]
    values.append(draw(constants))
    name, every = draw(known), b''.join(values)
    common = [
        tupled(*values),
        b'](' + every + b'e',
        b'}(' + every + (b'u' if len(values) % 2 == 0 else b'Nu'),
        reduced(name, *values),
        reduced(name, *values[1:]) + values[0] + b'b',  # BUILD
        values[0] + tupled(*values[1:]) + b'R',
        named(name) + tupled(*values) + b'\x81',  # NEWOBJ
        values[0] + b'q\0',  # put into the memo
        tupled(*values) + b'Q',  # a persistent id, which represents a tensor's storage
    ]
    odd = [
        b'(' + named(name) + every + b'o',  # OBJ
        b'(' + every + b'i' + named(name)[1:],  # INST
        text('os') + text('system') + b'\x93' + tupled(*values) + b'R',  # STACK_GLOBAL
    ]
    return draw(st.sampled_from(common * 2 + odd))


programs = st.builds(
    lambda version, body, rest: b'\x80' + bytes([version]) + body + rest + b'.',
    st.sampled_from([2, 2, 4, 5]),
    pushing() | pushing().map(lambda value: b'}' + text('x') + value + b's'),
    st.just(b'') | st.binary(max_size=4),
)


def legacy(place: int, program: bytes) -> bytes:
    """A file of the old format with one of its pickles replaced."""
    parts = [
        pickle.dumps(part, 2)
        for part in (0x1950A86A20F9469CFC6C, 1001, dict(little_endian=True), {}, [])
    ]
    parts[place] = program
    return b''.join(parts)


@fuzz(
    600, program=programs, place=st.sampled_from([None, None, None, 3, 3, 0, 1, 2, 4])
)
def test_hostile_pickles(program, place):
    """Hostile pickles in each place of both formats."""
    return check(zipped(program) if place is None else legacy(place, program))
