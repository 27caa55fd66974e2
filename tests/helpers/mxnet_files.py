"""Write checkpoints in MXNet's format without MXNet."""

import json
import struct

import numpy as np

V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
LEGACY = None
_FLAGS = {'f4': 0, 'f8': 1, 'f2': 2, 'u1': 3, 'i4': 4, 'i1': 5, 'i8': 6}


def array_bytes(array: np.ndarray, magic: int | None = V2) -> bytes:
    """Return an array in the format of a .params file."""
    shape = array.shape
    if magic is LEGACY:
        head = struct.pack(f'<I{len(shape)}I', len(shape), *shape)
    else:
        head = struct.pack('<I', magic)
        head += struct.pack('<i', 0) if magic in (V2, V3) else b''
        head += struct.pack(f'<i{len(shape)}q', len(shape), *shape)
    flag = _FLAGS[array.dtype.str[1:]]
    return head + struct.pack('<iii', 1, 0, flag) + array.tobytes()


def params_bytes(arrays: dict[str, np.ndarray], magic: int | None = V2) -> bytes:
    """Return a .params file from arrays by name ('arg:…', 'aux:…')."""
    content = struct.pack('<QQQ', 0x112, 0, len(arrays))
    content += b''.join(array_bytes(array, magic) for array in arrays.values())
    content += struct.pack('<Q', len(arrays))
    for name in arrays:
        content += struct.pack('<Q', len(name)) + name.encode()
    return content


def symbol_bytes(operators: dict[str, dict]) -> bytes:
    """Return a .json file from operators by name: op, attrs, names of its inputs."""
    names = list(operators)
    nodes = [
        dict(
            op=operator.get('op', 'null'),
            name=name,
            attrs=operator.get('attrs', {}),
            inputs=[[names.index(each), 0, 0] for each in operator.get('inputs', ())],
        )
        for name, operator in operators.items()
    ]
    return json.dumps(dict(nodes=nodes, arg_nodes=[], heads=[])).encode()


def linear(magic: int | None = V2, dtype: str = 'f4') -> tuple[bytes, bytes]:
    """Return the .params and the .json file of a linear layer: a (2, 3), b (2)."""
    arrays = {
        'arg:a': np.arange(6, dtype=dtype).reshape(2, 3),
        'arg:b': np.array([7, 8], dtype),
    }
    inputs = ['data', 'a', 'b']
    operators = {name: {} for name in inputs}
    operators['fc'] = dict(op='FullyConnected', inputs=inputs)
    return params_bytes(arrays, magic), symbol_bytes(operators)
