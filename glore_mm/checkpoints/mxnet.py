"""Read checkpoints of MXNet, without MXNet.

A checkpoint is a pair of files: `<prefix>-symbol.json`, the operators of the network
with their attributes, and `<prefix>-0000.params`, the arrays. The layout of the latter
is that of NDArray::Load in https://github.com/apache/mxnet, src/ndarray/ndarray.cc.
"""

import json
import math
import os.path as osp
import re
import tarfile
from ast import literal_eval
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glore_mm.checkpoints.archive import member_names, read_member
from glore_mm.checkpoints.files import split_digest, verify_file
from glore_mm.utils.errors import UserError, error_summary, summarize_list

_PARAMS = re.compile(r'(.*)-\d{4}\.params')
_LIST = 0x112
_LEGACY_NDIM = 32  # more is no number of dimensions
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_LAYERS = ('Convolution', 'BatchNorm', 'FullyConnected')  # inputs behind x are arrays
_DTYPES = ('<f4', '<f8', '<f2', 'u1', '<i4', 'i1', '<i8')  # by flag


@dataclass
class Operator:
    """An operator of the network.

    Attributes:
        kind (str): Such as 'Convolution'.
        attributes (dict[str, Any]): Those that were given when it was made: numbers,
            tuples of numbers, bools, or text.
        inputs (list[str]): Names of the operators and arrays that it takes.
    """

    kind: str
    attributes: dict[str, Any]
    inputs: list[str]


@dataclass
class MXNetCheckpoint:
    """A network of MXNet and its weights.

    Attributes:
        operators (dict[str, Operator]): By name.
        arrays (dict[str, Tensor]): Weights and statistics, by name.
    """

    operators: dict[str, Operator]
    arrays: dict[str, Tensor]


def is_mxnet(path: str) -> bool:
    """Whether a file is, or holds, the arrays of an MXNet checkpoint."""
    path, _ = split_digest(path)
    if osp.isfile(path) and tarfile.is_tarfile(path):
        return any(_PARAMS.fullmatch(name) for name in member_names(path))
    return _PARAMS.fullmatch(path) is not None


def read_mxnet_checkpoint(path: str) -> MXNetCheckpoint:
    """Read a checkpoint from its archive, or from its two files.

    Args:
        path (str): A tar archive with both, or the .params file, with its .json beside
            it; the SHA-256 is compared as `read_checkpoint` does.

    Returns:
        MXNetCheckpoint: Its operators and arrays.

    Raises:
        UserError: A file is missing, damaged, or of another kind.
    """
    path = verify_file(path)
    if tarfile.is_tarfile(path):
        pair = _find_pair(member_names(path), path)
        params, symbol = (read_member(path, name) for name in pair)
    else:
        beside = f'{path[: -len("-0000.params")]}-symbol.json'
        if not osp.isfile(beside):
            raise UserError(
                f'{path} has the arrays alone: {beside}, the network, is not there'
            )
        symbol = Path(verify_file(beside)).read_bytes()
        params = Path(path).read_bytes()
    try:
        operators = _parse_symbol(symbol)
        arrays = dict(_parse_arrays(memoryview(params)))
    except Exception as error:  # what is wrong in a .json can be of any kind
        raise UserError(
            f'{path} cannot be read as a checkpoint of MXNet: {error_summary(error)}. '
            'Fetch it again.'
        ) from error
    named = {name for operator in operators.values() for name in operator.inputs}
    needed = [n for o in operators.values() if o.kind in _LAYERS for n in o.inputs[1:]]
    if missing := [name for name in needed if name not in arrays]:
        raise UserError(
            f'{path}: {len(missing)} array(s) that the .json names are not in the '
            f'.params: {summarize_list(missing)}. The two files are not of one network.'
        )
    # old files do not name the statistics of norms
    weights = [name for name in arrays if not name.endswith(('_mean', '_var'))]
    if unused := [name for name in weights if name not in named]:
        raise UserError(
            f'{path}: {len(unused)} array(s) are of no operator in the .json: '
            f'{summarize_list(unused)}. The two files are not of one network.'
        )
    return MXNetCheckpoint(operators, arrays)


def _find_pair(names: Iterable[str], path: str) -> tuple[str, str]:
    """The names of the .params and the .json file among those in an archive."""
    names = set(names)
    pairs = [
        (name, f'{match[1]}-symbol.json')
        for name in names
        if (match := _PARAMS.fullmatch(name)) and f'{match[1]}-symbol.json' in names
    ]
    if len(pairs) != 1:
        raise UserError(
            f'{path} holds {len(pairs)} pairs of <name>-0000.params and '
            f'<name>-symbol.json, expected 1: {summarize_list(sorted(names))}'
        )
    return pairs[0]


def _parse_symbol(content: bytes) -> dict[str, Operator]:
    """The operators of a .json file, by name."""
    symbol = json.loads(content)
    nodes = symbol['nodes']
    names = [str(node['name']) for node in nodes]
    if len(set(names)) < len(names):
        raise ValueError('operators in the .json share a name')
    return {
        name: Operator(
            str(node['op']),
            # called param before MXNet 0.9.3, attr before 1.0
            {
                str(key): _parse_value(str(value))
                for kind in ('attrs', 'attr', 'param')
                for key, value in dict(node.get(kind) or {}).items()
            },
            [names[entry[0]] for entry in node['inputs']],
        )
        for name, node in zip(names, nodes, strict=True)
    }


def _parse_value(text: str) -> Any:
    """An attribute, which is kept as text."""
    try:
        return literal_eval(text) if len(text) < 100 else text
    except (ValueError, SyntaxError):
        return text


def _parse_arrays(content: memoryview) -> Iterator[tuple[str, Tensor]]:
    """The arrays of a .params file, with their names."""
    reader = _Reader(content)
    if reader.integer(8) != _LIST or reader.integer(8) != 0:
        raise ValueError('the .params file does not begin as one')
    arrays = [_parse_array(reader) for _ in reader.count(8)]
    names = [bytes(reader.take(reader.integer(8))).decode() for _ in reader.count(8)]
    if len(names) != len(arrays) or len(set(names)) < len(names):
        raise ValueError(f'{len(arrays)} arrays have {len(set(names))} names')
    for name, array in zip(names, arrays, strict=True):
        kind, separator, name = name.partition(':')
        if not separator or kind not in ('arg', 'aux'):
            raise ValueError(f"{kind[:80]!r}: an array is named 'arg:…' or 'aux:…'")
        yield name, array


def _parse_array(reader: '_Reader') -> Tensor:
    magic = reader.integer(4)
    legacy = magic <= _LEGACY_NDIM
    if not legacy and magic not in (_V1, _V2, _V3):
        raise ValueError(f'{magic:#x} begins no array')
    if magic in (_V2, _V3) and (storage := reader.integer(4)) != 0:
        raise ValueError(f'an array has storage type {storage}; only dense is read')
    ndim = magic if legacy else reader.integer(4)
    shape = [reader.integer(4 if legacy else 8) for _ in range(min(ndim, 33))]
    if not 0 < ndim <= 32:
        raise ValueError(f'an array has {ndim} dimensions')
    reader.take(8)  # the device
    flag = reader.integer(4)
    if flag >= len(_DTYPES):
        raise ValueError(f'an array is of type {flag}, which is not known')
    dtype = np.dtype(_DTYPES[flag])
    data = reader.take(math.prod(shape) * dtype.itemsize)
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).copy())


class _Reader:
    """Reads little-endian numbers, never beyond the end."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._position = content, 0

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        start, end = self._position, self._position + size
        if end > len(self._content):
            raise ValueError(
                f'the .params file ends after {len(self._content)} bytes, at least '
                f'{end} are expected'
            )
        self._position = end
        return self._content[start:end]

    def integer(self, size: int) -> int:
        """The next unsigned integer, of so many bytes."""
        return int.from_bytes(self.take(size), 'little')

    def count(self, size: int) -> range:
        """A range of the next integer, which counts things of a byte at least."""
        number = self.integer(size)
        if number > len(self._content) - self._position:
            raise ValueError(f'the .params file is too short for {number} arrays')
        return range(number)
