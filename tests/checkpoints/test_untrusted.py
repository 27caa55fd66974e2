"""Untrusted checkpoints: no code in them runs, and each gives one line of error."""

import hashlib
import http.server
import io
import os
import pickle
import struct
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from options import cfg_options
from paths import ROOT
from safetensors.torch import save_file
from torch import nn

from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint, write_digest
from glore_mm.utils.errors import UserError

CONFIG = ROOT / 'configs' / 'seg' / 'glore_mini.py'
CODE = "open('ran', 'w').close()"
SHELL = 'touch ran'
STATE = {'conv.weight': torch.arange(6.0).view(2, 3), 'conv.bias': torch.zeros(2)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Folder that hostile files would write to; checks that nothing was written."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / 'ran').exists()


class Calling:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def system():
    return Calling(os.system, SHELL)


def opcodes(*parts):
    return b''.join(
        part if isinstance(part, bytes) else f'{part}\n'.encode() for part in parts
    )


#: Streams of opcodes, each of which calls os.system or eval; no pickler writes them.
STREAMS = dict(
    inst=opcodes(b'(S', f"'{SHELL}'", b'ios\nsystem\n.'),
    obj=opcodes(b'(cos\nsystem\nS', f"'{SHELL}'", b'o.'),
    stack_global=b'\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.',
    newobj=b'\x80\x02cos\nsystem\n\x8c\x09touch ran\x85\x81.',
    dotted=b'\x80\x04\x8c\x05torch\x8c\x09os.system\x93\x8c\x09touch ran\x85R.',
    getattr=opcodes(
        b'cbuiltins\ngetattr\n(cmmengine.logging.history_buffer\nHistoryBuffer\nS',
        "'__init__'", b'tRS', "'__globals__'", b'.',
    ),
    extension=b'\x80\x02\x82\x01(S' + f"'{SHELL}'\n".encode() + b'tR.',
    persistent=b'P' + CODE.encode() + b'\n.',
    build=opcodes(
        b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}S',
        "'__class__'", b'cos\nsystem\nsb.',
    ),
)  # fmt: skip

#: Objects whose pickles call something.
OBJECTS = dict(
    eval=Calling(eval, CODE),
    exec=Calling(exec, CODE),
    system=system(),
    popen=Calling(__import__('subprocess').Popen, ['touch', 'ran']),
    runpy=Calling(__import__('runpy').run_path, 'evil.py'),
    import_=Calling(__import__, 'evil'),
    loads=Calling(pickle.loads, STREAMS['inst']),
    numpy_load=Calling(np.load, 'evil.npy', None, True),
    partial=Calling(partial(eval, CODE)),
    open_=Calling(open, 'ran', 'w'),
    module=nn.Conv2d(1, 1, 1),
)


def zipped(stream: bytes) -> bytes:
    """A file as from torch.save, with this stream."""
    buffer = io.BytesIO()
    torch.save(dict(STATE), buffer)
    replaced = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(replaced, 'w') as target:
        for part in source.infolist():
            inside = source.read(part)
            target.writestr(
                part.filename, stream if part.filename[-4:] == '.pkl' else inside
            )
    return replaced.getvalue()


def legacy(stream: bytes) -> bytes:
    """A file as from torch.save before version 1.6, with this stream."""
    buffer = io.BytesIO()
    torch.save(dict(STATE), buffer, _use_new_zipfile_serialization=False)
    head = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, dict(little_endian=True)):
        pickle.dump(value, head, protocol=2)
    return head.getvalue() + stream


def refused(path, *texts):
    with pytest.raises(UserError) as error:
        read_checkpoint(str(path))
    message = str(error.value)
    assert str(path).partition('#')[0] in message and '\n' not in message
    for text in texts:
        assert text in message
    assert not Path('ran').exists()


@pytest.mark.parametrize('form', ['plain', 'zip', 'legacy'])
@pytest.mark.parametrize('name', [*OBJECTS, *STREAMS])
def test_pickles_that_run_code(name, form, folder):
    (folder / 'evil.py').write_text(CODE)
    (folder / 'evil.pth').write_bytes(STREAMS['inst'])
    np.save(folder / 'evil.npy', np.array([system()]), allow_pickle=True)
    stream = STREAMS.get(name)
    if stream is None:
        content = dict(state_dict=STATE, epoch=OBJECTS[name])
        if form == 'plain':
            content = dict(state_dict={}, epoch=OBJECTS[name])
        stream = pickle.dumps(content, protocol=2)
    wrap = dict(plain=bytes, zip=zipped, legacy=legacy)[form]
    file = folder / 'hostile.pth'
    file.write_bytes(wrap(stream))
    refused(file)


def test_the_pickles_would_run_in_pickle(folder):
    """With pickle itself they do run, so the test above is effective."""
    for name in ('inst', 'obj', 'stack_global'):
        pickle.loads(STREAMS[name])
        Path('ran').unlink()
    for name in ('eval', 'exec', 'system', 'loads', 'open_'):
        pickle.loads(pickle.dumps(OBJECTS[name], protocol=2))
        Path('ran').unlink()


def bomb(folder):
    with (
        zipfile.ZipFile(folder / 'file.pth', 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open('archive/data.pkl', 'w', force_zip64=True) as part,
    ):
        for _ in range(1024):
            part.write(bytes(1 << 20))


def overlapping(folder):
    """Many names for the same bytes."""
    with zipfile.ZipFile(folder / 'file.pth', 'w') as archive:
        archive.writestr('archive/data.pkl', bytes(1 << 16))
        first = archive.infolist()[0]
        for number in range(1000):
            other = zipfile.ZipInfo(f'archive/data/{number}')
            for key in ('CRC', 'file_size', 'compress_size', 'header_offset'):
                setattr(other, key, getattr(first, key))
            archive.filelist.append(other)


def save(folder):
    torch.save(dict(state_dict=STATE), folder / 'file.pth')
    return (folder / 'file.pth').read_bytes()


def truncated(folder):
    (folder / 'file.pth').write_bytes(save(folder)[:-40])


def flipped(folder):
    """A changed bit of a weight, which torch.load alone does not detect."""
    data = bytearray(save(folder))
    place = data.index(struct.pack('<f', 5.0))
    data[place] ^= 1
    (folder / 'file.pth').write_bytes(data)
    assert torch.load(folder / 'file.pth', weights_only=True)


def script(folder):
    torch.jit.trace(nn.ReLU(), torch.ones(1)).save(folder / 'file.pth')


def huge_legacy(folder):
    """A storage whose header declares 10¹⁵ numbers."""
    buffer = io.BytesIO()
    torch.save(dict(STATE), buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    six = b'K\x06N'  # numel, and the bytes after it
    assert data.count(six) == 1
    huge = b'\x8a\x07' + (10**15).to_bytes(7, 'little') + b'N'
    (folder / 'file.pth').write_bytes(data.replace(six, huge))


def huge_header(folder):
    (folder / 'file.safetensors').write_bytes(struct.pack('<Q', 1 << 60) + b'{}')


def wrong_header(folder):
    header = b'{"a":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4]}}'
    content = struct.pack('<Q', len(header)) + header + bytes(4)
    (folder / 'file.safetensors').write_bytes(content)


def pickle_by_another_name(folder):
    (folder / 'file.safetensors').write_bytes(STREAMS['inst'])


def link(folder):
    save(folder)
    (folder / 'file.pth').rename(folder / 'real.pth')
    (folder / 'file.pth').symlink_to(folder / 'real.pth')


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (bomb, 'it would unpack to 1073741824 bytes'),
        (overlapping, 'it would unpack to '),
        (truncated, 'cannot be read as a checkpoint'),
        (flipped, 'the checksum of '),
        (script, 'cannot be read as a checkpoint'),
        (huge_legacy, 'cannot be read as a checkpoint'),
        (huge_header, 'cannot be read as a checkpoint'),
        (wrong_header, 'cannot be read as a checkpoint'),
        (pickle_by_another_name, 'cannot be read as a checkpoint'),
        (link, 'is a symbolic link, to '),
        (lambda f: (f / 'file.pth').symlink_to('nowhere'), 'is a symbolic link'),
        (lambda f: (f / 'file.pth').symlink_to('/dev/zero'), 'is a symbolic link'),
        (lambda f: (f / 'file.pth').symlink_to('file.pth'), 'is a symbolic link'),
        (lambda f: (f / 'file.pth').mkdir(), 'it is a folder'),
        (lambda f: os.mkfifo(f / 'file.pth'), 'not a file'),
        (lambda f: (f / 'file.pth').touch(), 'is empty'),
        (lambda f: (f / 'file.pth').write_bytes(os.urandom(999)), 'It is damaged'),
    ],
)  # fmt: skip
def test_files_that_are_not_checkpoints(make, message, folder):
    make(folder)
    (file,) = folder.glob('file.*')
    refused(file, message)


@pytest.mark.parametrize('kind', ['pth', 'safetensors'])
def test_weights_are_unchanged(kind, folder):
    path = str(folder / f'weights.{kind}')
    classes = dict(classes=('road', 'sky'), palette=[[1, 2, 3], [4, 5, 6]])
    shared = STATE['conv.weight']
    content = dict(STATE, same=shared, turned=shared.T)
    write_checkpoint(dict(state_dict=content, meta=dict(dataset_meta=classes)), path)
    back = read_checkpoint(path)
    assert back['state_dict'].keys() == content.keys()
    for name, value in content.items():
        assert torch.equal(back['state_dict'][name], value)
    assert list(back['meta']['dataset_meta']['classes']) == ['road', 'sky']


def test_the_digest_is_checked_if_given(folder):
    save(folder)
    path = folder / 'file.pth'
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(f'{path}#sha256={digest.upper()}')
    wrong = digest[:-1] + ('0' if digest[-1] != '0' else '1')
    refused(f'{path}#sha256={wrong}', digest, wrong, 'not the file that was published')
    refused(f'{path}#sha256=12', "'12' is not a SHA-256")

    assert write_digest(str(path)) == digest
    beside = folder / 'file.pth.sha256'
    assert beside.read_text() == f'{digest}  file.pth\n'
    assert read_checkpoint(str(path))
    beside.write_text(f'{wrong}  file.pth\n')
    refused(path, 'not the file that was published')
    beside.write_text('')
    refused(path, 'is not a SHA-256')


# -------------------------------------------------- all code that loads checkpoints


def assert_reported(done, *texts):
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 1 and len(errors) == 1, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    for text in texts:
        assert str(text) in errors[0]
    assert not Path('ran').exists()


@pytest.fixture(scope='session')
def checkpoint(tool, mini, tmp_path_factory):
    """A checkpoint after two iterations of a small network."""
    folder = tmp_path_factory.mktemp('trained')
    tool('train', CONFIG, '--seed', 0, *options(mini), cwd=folder)
    return folder / 'work_dirs' / 'glore_mini' / 'iter_2.pth'


def options(data, **more):
    small = {
        'data_root': data,
        'model.decode_head.channels': 16,
        'model.auxiliary_head.channels': 16,
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': 2,
    } | more
    return cfg_options(small)


@pytest.mark.slow
@pytest.mark.parametrize('way', ['test', 'infer', 'convert', 'load_from', 'init_cfg'])
def test_no_tool_runs_a_pickle(way, checkpoint, tool, mini, folder):
    content = torch.load(checkpoint, weights_only=False)
    torch.save(dict(content, epoch=system()), 'evil.pth')
    small = options(mini)
    image = next((mini / 'leftImg8bit').rglob('*.png'))
    arguments = dict(
        test=('test', CONFIG, 'evil.pth', *small),
        infer=('infer', CONFIG, 'evil.pth', image, *small),
        convert=('convert_checkpoint', CONFIG, 'evil.pth', 'to.safetensors', *small),
        load_from=('train', CONFIG, *options(mini, load_from='evil.pth')),
        init_cfg=('train', CONFIG, *options(mini, **{'model.pretrained': 'evil.pth'})),
    )[way]
    assert_reported(
        tool(*arguments, cwd=folder, check=False), 'evil.pth', 'more than weights'
    )
    assert not (folder / 'to.safetensors').exists()


@pytest.mark.slow
def test_no_tool_runs_the_text_of_a_config(checkpoint, tool, mini, folder):
    """Unpatched, resuming and inferencers of mmengine would; others ignore it."""
    content = torch.load(checkpoint, weights_only=False)
    content['meta'].update(config=CODE, cfg=CODE)
    content['message_hub']['runtime_info']['cfg'] = CODE
    work_dir = folder / 'work_dirs' / 'glore_mini'
    work_dir.mkdir(parents=True)
    torch.save(content, work_dir / 'iter_1.pth')
    small = options(mini, resume=True, load_from=work_dir / 'iter_1.pth')
    for arguments in (['--resume', *options(mini)], small):
        done = tool('train', CONFIG, *arguments, cwd=folder, check=False)
        assert_reported(
            done, 'iter_1.pth was not resumed', 'meta.config', 'would run as Python'
        )
    image = next((mini / 'leftImg8bit').rglob('*.png'))
    file = work_dir / 'iter_1.pth'
    tool('infer', CONFIG, file, image, *options(mini), cwd=folder)
    tool('train', CONFIG, *options(mini, load_from=file), cwd=folder)


@pytest.fixture
def server(folder):
    """Address of a local HTTP server for the files of a folder."""
    site = folder / 'site'
    site.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield site, f'http://127.0.0.1:{serving.server_port}'
        serving.shutdown()


@pytest.mark.slow
def test_downloads(server, checkpoint, tool, mini, folder, monkeypatch):
    site, address = server
    monkeypatch.setenv('TORCH_HOME', str(folder / 'hub'))
    cache = folder / 'hub' / 'hub' / 'checkpoints'
    (site / 'good.pth').write_bytes(checkpoint.read_bytes())
    torch.save(dict(state_dict=STATE, epoch=system()), site / 'evil.pth')
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()

    def train(file, check=False):
        return tool(
            'train', CONFIG, *options(mini, load_from=file), cwd=folder, check=check
        )

    assert_reported(
        train(f'{address}/evil.pth'), cache / 'evil.pth', 'more than weights'
    )
    assert_reported(
        train(f'{address}/none.pth'), f'{address}/none.pth', cache / 'none.pth', '404'
    )
    wrong = f'{address}/good.pth#sha256={"0" * 64}'
    assert_reported(train(wrong), f'{address}/good.pth')
    assert not (cache / 'good.pth').exists()
    monkeypatch.setenv('GLORE_OFFLINE', '1')
    message = f'download of {address}/good.pth. Put the file at {cache}/good.pth'
    assert_reported(train(f'{address}/good.pth'), message)
    vision = 'https://download.pytorch.org/models/resnet18-f37072fd.pth'
    assert_reported(
        train('torchvision://resnet18'), vision, cache / 'resnet18-f37072fd.pth'
    )
    torch.save(dict(STATE, epoch=system()), cache / 'resnet18-f37072fd.pth')
    assert_reported(train('torchvision://resnet18'), 'more than weights')
    monkeypatch.delenv('GLORE_OFFLINE')
    train(f'{address}/good.pth#sha256={digest}', check=True)
    (cache / 'good.pth').unlink()
    train(f'{address}/good.pth?download=true#sha256={digest}', check=True)
    monkeypatch.setenv('GLORE_OFFLINE', '1')  # downloaded by now
    train(f'{address}/good.pth#sha256={digest}', check=True)


@pytest.mark.slow
def test_a_trained_checkpoint_as_safetensors(checkpoint, tool, mini, folder):
    small = options(mini)
    arguments = CONFIG, checkpoint, 'w.safetensors', '--format-only', *small
    done = tool('convert_checkpoint', *arguments, cwd=folder)
    assert 'optimizer' in done.stdout and 'w.safetensors.sha256' in done.stdout
    image = next((mini / 'leftImg8bit').rglob('*.png'))
    said = [
        tool('infer', CONFIG, file, image, *small, cwd=folder).stdout.splitlines()[-1]
        for file in (checkpoint, 'w.safetensors')
    ]
    assert said[0] == said[1]
    tool('train', CONFIG, *options(mini, load_from='w.safetensors'), cwd=folder)
    with open('w.safetensors', 'r+b') as file:
        file.seek(-1, 2)
        file.write(b'\x55')
    done = tool('test', CONFIG, 'w.safetensors', *small, cwd=folder, check=False)
    assert_reported(done, 'w.safetensors', 'not the file that was published')


def test_a_file_with_numbers_only(folder):
    save_file(STATE, folder / 'plain.safetensors')
    back = read_checkpoint(str(folder / 'plain.safetensors'))
    assert torch.equal(back['state_dict']['conv.weight'], STATE['conv.weight'])
