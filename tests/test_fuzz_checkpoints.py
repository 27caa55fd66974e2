"""Checkpoint files, damaged and hostile: weights or one line, and nothing is run."""

import functools
import io
import pickle
import struct
import zipfile

import torch
from fuzzing import SCRATCH, Guard, assert_clear, damaged, fuzz
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from safetensors.torch import save as safetensors

from glore_mm.checkpoints import read_checkpoint

CHECKPOINT = SCRATCH / 'a.pth'
SAFETENSORS = SCRATCH / 'a.safetensors'
SENTINEL = SCRATCH / 'was run'


@functools.cache
def files() -> dict[str, bytes]:
    """One network's checkpoint in each format."""
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
    return found


@functools.cache
def pickles() -> dict[str, bytes]:
    """What stands in the zip file beside the tensors."""
    with zipfile.ZipFile(io.BytesIO(files()['zip'])) as archive:
        return {
            'pickle': archive.read(next(n for n in archive.namelist() if 'pkl' in n))
        }


def zipped(program: bytes) -> bytes:
    """The zip file with another pickle, its check sums right."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(files()['zip'])) as old,
        zipfile.ZipFile(file, 'w') as new,
    ):
        for name in old.namelist():
            new.writestr(name, program if name.endswith('.pkl') else old.read(name))
    return file.getvalue()


def read(path: str) -> None:
    assert isinstance(read_checkpoint(path), dict)


def prepare() -> None:
    repr(torch.ones(1))  # as in messages of torch
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
    return message


@fuzz(150, file=damaged(files))
def test_checkpoints(file):
    path = SAFETENSORS if file.name == 'safetensors' else CHECKPOINT
    return check(file.content, path)


@fuzz(150, file=damaged(pickles))
def test_pickles_of_checkpoints(file):
    return check(zipped(file.content))


# -------------------------------------------------------------- programs of a stranger

GLOBALS = (
    'os.system', 'posix.system', 'builtins.eval', 'builtins.exec', 'builtins.open',
    'builtins.getattr', 'builtins.__import__', 'subprocess.Popen', 'shutil.rmtree',
    'socket.create_connection', 'importlib.import_module', 'antigravity.x',
    'torch.load', 'torch.hub.load', 'numpy.load', 'numpy.ndarray', 'numpy.dtype',
    'numpy.core.multiarray._reconstruct', 'numpy._core.multiarray.scalar',
    'mmengine.logging.history_buffer.HistoryBuffer', 'collections.OrderedDict',
    'collections.Counter', 'builtins.bytearray', 'builtins.set', '_codecs.encode',
    'torch.Size', 'torch.device', 'torch.FloatStorage', 'torch.float32', 'torch.Tensor',
    'torch.storage.UntypedStorage', 'torch.nn.parameter.Parameter',
    'torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_parameter',
    'torch._utils._rebuild_sparse_tensor', 'torch._utils._rebuild_qtensor',
    'torch._utils._rebuild_meta_tensor_no_storage',
    'torch._utils._rebuild_wrapper_subclass', 'torch._tensor._rebuild_from_type_v2',
    'torch.serialization._get_layout',
)  # fmt: skip
STRINGS = (
    f'touch {SENTINEL}', f"open('{SENTINEL}', 'w')", str(SENTINEL), 'w', '', 'x', 'cpu',
    'storage', '0', 'zip', 'min', 'f8', 'O', 'V8', '__reduce__', 'latin1',
)  # fmt: skip
NUMBERS = (-(2**63), -1, 0, 1, 2, 3, 2**31, 4 * 10**9, 10**12)


def text(value: str) -> bytes:
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def number(value: int) -> bytes:
    return b'\x8a\x09' + value.to_bytes(9, 'little', signed=True)


def named(value: str) -> bytes:
    module, _, attribute = value.rpartition('.')
    return f'{module}\n{attribute}\n'.encode()


known = st.sampled_from(GLOBALS).map(named)
constants = st.one_of(
    known.map(lambda name: b'c' + name),
    st.sampled_from(STRINGS).map(text),
    st.sampled_from(NUMBERS).map(number),
    st.floats().map(lambda value: b'G' + struct.pack('>d', value)),
    st.binary(max_size=9).map(lambda data: b'C' + bytes([len(data)]) + data),
    st.sampled_from([b'N', b'\x88', b')', b'}', b']', b'\x8f', b'h\0']),
)


@st.composite
def pushing(draw, depth: int = 4) -> bytes:
    """A program that leaves one value on the stack, which it makes of others."""
    if depth == 0 or draw(st.booleans()):
        return draw(constants)
    values = [draw(pushing(depth - 1)) for _ in range(draw(st.integers(0, 4)))]
    values += [draw(constants), draw(constants)]
    one, other, every = values[0], values[1], b'(' + b''.join(values)
    called = b'c' + draw(known)
    return draw(
        st.sampled_from(
            [
                every + b't',
                b']' + every + b'e',
                b'}' + every + (b'u' if len(values) % 2 == 0 else b'Nu'),
                called + every + b'tR',
                one + every + b'tR',
                called + every + b't\x81',  # NEWOBJ
                one + other + b'b',  # BUILD
                called + every + b'tR' + other + b'b',
                b'(' + called + every[1:] + b'o',  # OBJ
                every + b'i' + called[1:],  # INST
                one + other + b'\x93',  # STACK_GLOBAL
                text('os') + text('system') + b'\x93' + every + b'tR',
                one + b'q\0',  # memoize
                every + b'tQ',  # a persistent id, which stands for a tensor's memory
            ]
        )
    )


programs = st.builds(
    lambda version, body, rest: b'\x80' + bytes([version]) + body + rest + b'.',
    st.sampled_from([2, 2, 4, 5]),
    pushing(),
    st.just(b'') | st.binary(max_size=4),
)


def legacy(place: int, program: bytes) -> bytes:
    """A file of the old format, one of whose pickles is another."""
    parts = [
        pickle.dumps(part, 2)
        for part in (0x1950A86A20F9469CFC6C, 1001, dict(little_endian=True), {}, [])
    ]
    parts[place] = program
    return b''.join(parts)


@fuzz(400, program=programs, place=st.integers(-2, 4))
def test_hostile_pickles(program, place):
    if place == -2:
        return check(zipped(program))
    return check(program if place == -1 else legacy(place, program))
