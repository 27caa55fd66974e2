"""Read MXNet checkpoints without MXNet.

A checkpoint is a pair of files: `<prefix>-symbol.json` has the operators of the network
with their attributes, `<prefix>-0000.params` has the arrays. The format of the latter
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
_LEGACY_NDIM = 32  # legacy arrays begin with their number of dimensions, at most this
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_LAYERS = ('Convolution', 'BatchNorm', 'FullyConnected')  # inputs after x are arrays
_DTYPES = ('<f4', '<f8', '<f2', 'u1', '<i4', 'i1', '<i8')  # by flag


@dataclass
class Operator:
    """An operator of the network.

    Attributes:
        kind (str): The type, such as 'Convolution'.
        attributes (dict[str, Any]): The explicitly set attributes: numbers, tuples of
            numbers, bools, or text.
        inputs (list[str]): Names of the operators and arrays that are its inputs.
    """

    kind: str
    attributes: dict[str, Any]
    inputs: list[str]


@dataclass
class MXNetCheckpoint:
    """A network of MXNet and its weights.

    Attributes:
        operators (dict[str, Operator]): Operators by name.
        arrays (dict[str, Tensor]): Weights and statistics by name.
    """

    operators: dict[str, Operator]
    arrays: dict[str, Tensor]


def is_mxnet(path: str) -> bool:
    """Whether a file is a .params file of MXNet, or an archive with one."""
    path, _ = split_digest(path)
    if osp.isfile(path) and tarfile.is_tarfile(path):
        return any(_PARAMS.fullmatch(name) for name in member_names(path))
    return _PARAMS.fullmatch(path) is not None


def read_mxnet_checkpoint(path: str) -> MXNetCheckpoint:
    """Read a checkpoint from its archive, or from its two files.

    Args:
        path (str): A tar archive with both files, or the .params file, with the .json
            in the same folder. A SHA-256 is checked as in `read_checkpoint`.

    Returns:
        MXNetCheckpoint: The operators and arrays.

    Raises:
        UserError: A file is missing, damaged, or not of MXNet.
    """
    path = verify_file(path)
    if tarfile.is_tarfile(path):
        pair = _find_pair(member_names(path), path)
        params, symbol = (read_member(path, name) for name in pair)
    else:
        symbol_path = f'{path[: -len("-0000.params")]}-symbol.json'
        if not osp.isfile(symbol_path):
            raise UserError(
                f'{path} has only the arrays; {symbol_path}, the network, is missing'
            )
        symbol = Path(verify_file(symbol_path)).read_bytes()
        params = Path(path).read_bytes()
    try:
        operators = _parse_symbol(symbol)
        arrays = dict(_parse_arrays(memoryview(params)))
    except Exception as error:  # a damaged .json can cause any error
        raise UserError(
            f'{path} cannot be read as a checkpoint of MXNet: {error_summary(error)}. '
            'Fetch it again.'
        ) from error
    named = {name for operator in operators.values() for name in operator.inputs}
    needed = [n for o in operators.values() if o.kind in _LAYERS for n in o.inputs[1:]]
    if missing := [name for name in needed if name not in arrays]:
        raise UserError(
            f'{path}: {len(missing)} array(s) that the .json names are not in the '
            f'.params: {summarize_list(missing)}. The files are of different networks.'
        )
    # in old files, the .json does not name the statistics of norms
    weights = [name for name in arrays if not name.endswith(('_mean', '_var'))]
    if unused := [name for name in weights if name not in named]:
        raise UserError(
            f'{path}: {len(unused)} array(s) belong to no operator in the .json: '
            f'{summarize_list(unused)}. The files are of different networks.'
        )
    return MXNetCheckpoint(operators, arrays)


def _find_pair(names: Iterable[str], path: str) -> tuple[str, str]:
    """Find the .params and the .json file among the names in an archive."""
    names = set(names)
    pairs = [
        (name, f'{match[1]}-symbol.json')
        for name in names
        if (match := _PARAMS.fullmatch(name)) and f'{match[1]}-symbol.json' in names
    ]
    if len(pairs) != 1:
        raise UserError(
            f'{path} has {len(pairs)} pairs of <name>-0000.params and '
            f'<name>-symbol.json, expected 1: {summarize_list(sorted(names))}'
        )
    return pairs[0]


def _parse_symbol(content: bytes) -> dict[str, Operator]:
    """Parse the operators of a .json file, by name."""
    symbol = json.loads(content)
    nodes = symbol['nodes']
    names = [str(node['name']) for node in nodes]
    if len(set(names)) < len(names):
        raise ValueError('operators in the .json share a name')
    return {
        name: Operator(
            str(node['op']),
            # attrs; attr before MXNet 1.0, param before 0.9.3
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
    """Convert an attribute from text."""
    try:
        return literal_eval(text) if len(text) < 100 else text
    except (ValueError, SyntaxError):
        return text


def _parse_arrays(content: memoryview) -> Iterator[tuple[str, Tensor]]:
    """Yield the arrays of a .params file with their names."""
    reader = _Reader(content)
    if reader.integer(8) != _LIST or reader.integer(8) != 0:
        raise ValueError('the .params file does not begin like one')
    arrays = [_parse_array(reader) for _ in range(reader.integer(8))]
    names = [
        bytes(reader.take(reader.integer(8))).decode() for _ in range(reader.integer(8))
    ]
    if len(names) != len(arrays) or len(set(names)) < len(names):
        raise ValueError(f'{len(arrays)} arrays have {len(set(names))} names')
    for name, array in zip(names, arrays, strict=True):
        kind, separator, name = name.partition(':')
        if not separator or kind not in ('arg', 'aux'):
            raise ValueError(
                f"an array has the prefix {kind[:80]!r}; expected 'arg' or 'aux'"
            )
        yield name, array


def _parse_array(reader: '_Reader') -> Tensor:
    magic = reader.integer(4)
    legacy = magic <= _LEGACY_NDIM
    if not legacy and magic not in (_V1, _V2, _V3):
        raise ValueError(f'an array begins with {magic:#x}, which is unknown')
    if magic in (_V2, _V3) and (storage := reader.integer(4)) != 0:
        raise ValueError(f'an array has storage type {storage}; only 0, dense, is read')
    ndim = magic if legacy else reader.integer(4)
    shape = [reader.integer(4 if legacy else 8) for _ in range(min(ndim, 33))]
    if not 0 < ndim <= 32:
        raise ValueError(f'an array has {ndim} dimensions')
    reader.take(8)  # the device
    flag = reader.integer(4)
    if flag >= len(_DTYPES):
        raise ValueError(f'an array is of type {flag}, which is unknown')
    dtype = np.dtype(_DTYPES[flag])
    data = reader.take(math.prod(shape) * dtype.itemsize)
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).copy())


class _Reader:
    """Reads little-endian numbers; raises an error at the end of the file."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._position = content, 0

    def take(self, size: int) -> memoryview:
        """Read the next bytes."""
        start, end = self._position, self._position + size
        if end > len(self._content):
            raise ValueError(
                f'the .params file ends after {len(self._content)} bytes; expected at '
                f'least {end}'
            )
        self._position = end
        return self._content[start:end]

    def integer(self, size: int) -> int:
        """Read an unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), 'little')
