"""Checkpoints in MXNet's format: read correctly, or one line of error."""

import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from archives import tar_bytes
from mxnet_files import LEGACY, V1, V2, V3, linear, params_bytes, symbol_bytes

from glore_mm.checkpoints.mxnet import is_mxnet, read_mxnet_checkpoint
from glore_mm.utils.errors import UserError

PARAMS, SYMBOL = 'net-0000.params', 'net-symbol.json'


@pytest.fixture
def write(tmp_path):
    """Write the pair of files; return the path of the .params."""

    def write(params, symbol):
        (tmp_path / PARAMS).write_bytes(params)
        (tmp_path / SYMBOL).write_bytes(symbol)
        return str(tmp_path / PARAMS)

    return write


@pytest.fixture
def pack(tmp_path):
    """Pack files into an archive; return its path."""

    def pack(members, mode='w'):
        path = tmp_path / 'net.tar'
        path.write_bytes(tar_bytes(members, mode))
        return str(path)

    return pack


def refused(path):
    with pytest.raises(UserError) as error:
        read_mxnet_checkpoint(path)
    message = str(error.value)
    assert str(Path(path).parent) in message
    assert '\n' not in message and len(message) < 1000
    return message


@pytest.mark.parametrize('magic', [LEGACY, V1, V2, V3])
@pytest.mark.parametrize('dtype', ['f4', 'f8', 'f2', 'u1', 'i4', 'i1', 'i8'])
def test_every_version_and_type(magic, dtype, write):
    path = write(*linear(magic, dtype))
    assert is_mxnet(path)
    checkpoint = read_mxnet_checkpoint(path)
    assert checkpoint.arrays['a'].numpy().dtype == dtype
    assert checkpoint.arrays['a'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert checkpoint.arrays['b'].tolist() == [7, 8]
    operator = checkpoint.operators['fc']
    assert (operator.kind, operator.inputs) == ('FullyConnected', ['data', 'a', 'b'])


@pytest.mark.parametrize('folder', ['', './', 'a/b/'])
def test_an_archive_is_read_without_extraction(folder, pack, tmp_path):
    params, symbol = linear()
    names = folder + PARAMS, folder + SYMBOL
    path = pack({'score.py': b'', names[0]: params, names[1]: symbol})
    assert is_mxnet(path)
    assert read_mxnet_checkpoint(path).arrays['b'].tolist() == [7, 8]
    assert [each.name for each in tmp_path.iterdir()] == ['net.tar']


@pytest.mark.parametrize('key', ['attr', 'attrs', 'param'])
def test_attributes_in_python_syntax(key, write):
    params, symbol = linear()
    attributes = b'{"kernel": "(3, 3)", "eps": "1e-05", "no_bias": "True", "n": "2"}'
    symbol = symbol.replace(b'"attrs": {}', b'"%s": %s' % (key.encode(), attributes))
    operator = read_mxnet_checkpoint(write(params, symbol)).operators['fc']
    assert operator.attributes == dict(kernel=(3, 3), eps=1e-5, no_bias=True, n=2)


def test_one_file_of_the_pair_is_missing(pack, write, tmp_path):
    params, symbol = linear()
    path = pack({'a-0000.params': params, 'b-symbol.json': symbol})
    assert 'has 0 pairs of' in refused(path)
    both = {f'{n}-{k}': c for n in 'ab' for k, c in
            (('0000.params', params), ('symbol.json', symbol))}  # fmt: skip
    assert 'has 2 pairs of' in refused(pack(both))
    path = write(params, symbol)
    (tmp_path / SYMBOL).unlink()
    assert 'net-symbol.json, the network, is missing' in refused(path)


@pytest.mark.parametrize('cut', [0, 3, 8, 20, 40, 60, 90, 110, -1])
def test_truncation_at_any_place(cut, write):
    params, symbol = linear()
    path = write(params[:cut], symbol)
    message = refused(path)
    assert 'cannot be read as a checkpoint of MXNet' in message or 'is empty' in message


def test_files_of_different_networks(write):
    params, _ = linear()
    operators = {'data': {}, 'w': {}, 'fc': dict(op='x', inputs=['data', 'w'])}
    message = refused(write(params, symbol_bytes(operators)))
    assert '2 array(s) belong to no operator in the .json: a, b' in message


def huge(shape):
    """An array whose header declares a huge size."""
    params, _ = linear()
    old = struct.pack('<iqq', 2, 2, 3)
    assert params.count(old) == 1
    return params.replace(old, struct.pack(f'<i{len(shape)}q', len(shape), *shape))


@pytest.mark.parametrize(
    ('params', 'message'),
    [
        (b'\x80\x02}q\x00.' + bytes(99), 'does not begin like one'),  # a pickle
        (huge((1 << 40, 1 << 40)), 'ends after'),
        (huge((1 << 62, 3)), 'ends after'),
        (huge((1,) * 33), 'has 33 dimensions'),
        (huge(()), 'has 0 dimensions'),
        (struct.pack('<QQQ', 0x112, 0, 1 << 60), 'ends after'),
        (linear()[0].replace(struct.pack('<qiii', 3, 1, 0, 0),
                             struct.pack('<qiii', 3, 1, 0, 99)), 'of type 99'),
        (linear()[0].replace(struct.pack('<Ii', V2, 0), struct.pack('<Ii', V2, 1)),
         'storage type 1'),
        (linear()[0].replace(b'arg:a', b'ARG:a'), "prefix 'ARG'; expected"),
        (linear()[0].replace(b'arg:b', b'arg:a'), '2 arrays have 1 names'),
    ],
)  # fmt: skip
def test_hostile_arrays(params, message, write):
    assert message in refused(write(params, linear()[1]))


@pytest.mark.parametrize(
    'symbol',
    [
        b'',
        b'[]',
        b'{}',
        b'{"nodes": 3}',
        b'{"nodes": [3]}',
        b'{"nodes": [{"name": "a", "op": "b", "inputs": [[7, 0]]}]}',
        b'{"nodes": [{"name": "a", "op": "b", "inputs": [], "attrs": 3}]}',
        b'[' * 100_000,
        b'\xff\xfe',
    ],
)
def test_hostile_symbols(symbol, write):
    refused(write(linear()[0], symbol))


def test_hostile_archives(tmp_path, pack):
    params, symbol = linear()
    names = (f'../../{PARAMS}', f'../../{SYMBOL}'), (f'/{PARAMS}', f'/{SYMBOL}')
    for pair in names:
        path = pack(dict(zip(pair, (params, symbol), strict=True)))
        assert 'is not a plain file inside the archive' in refused(path)
    (tmp_path / 'secret').write_bytes(params)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        path = pack({SYMBOL: symbol})
        with tarfile.open(path, 'a') as archive:
            info = tarfile.TarInfo(PARAMS)
            info.type, info.linkname = kind, str(tmp_path / 'secret')
            archive.addfile(info)
        assert 'is not a plain file inside the archive' in refused(path)
    compressed = pack({PARAMS: bytes(1 << 24), SYMBOL: symbol}, 'w:gz')
    assert 'cannot be read as an uncompressed tar archive' in refused(compressed)


def test_an_archive_that_declares_a_larger_size(pack):
    """Truncated, and with a sparse member of a terabyte."""
    path = pack({SYMBOL: linear()[1], PARAMS: linear()[0]})
    with open(path, 'r+b') as file:
        file.truncate(1600)
    refused(path)


def test_weights_of_any_type_and_layout(write):
    values = np.random.default_rng(0).normal(size=(3, 2, 1, 4)).astype('f4')
    operators = {'x': {}, 'w': {}, 'conv': dict(op='Convolution', inputs=['x', 'w'])}
    path = write(params_bytes({'arg:w': values}), symbol_bytes(operators))
    np.testing.assert_array_equal(read_mxnet_checkpoint(path).arrays['w'], values)
