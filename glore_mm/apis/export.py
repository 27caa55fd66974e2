"""Export a network with its weights as one file, for ONNX Runtime or plain torch."""

import io
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

import glore_mm
from glore_mm.apis.tasks import get_task
from glore_mm.block_info import eval_mode
from glore_mm.config.build import get_data_preprocessor
from glore_mm.config.datasets import find_band_loader
from glore_mm.config.load import TASKS
from glore_mm.engine.task import num_input_channels
from glore_mm.engine.weights import load_network
from glore_mm.insertion import find_units
from glore_mm.unit import GloRe
from glore_mm.utils.atomic_write import atomic_write
from glore_mm.utils.errors import UserError, error_summary

#: File name suffix of each format.
SUFFIXES = dict(onnx='.onnx', torchscript='.pt', pt2='.pt2')
#: Largest allowed difference to eager, relative to the largest logit.
TOLERANCE = 1e-4
#: Extra file in torch's two formats with the metadata; ONNX has properties instead.
METADATA = 'metadata.json'
_AXES = {2: ('height', 'width'), 3: ('frames', 'height', 'width')}
#: Some networks need multiples of these.
_STEPS = dict(batch=1, frames=4, height=32, width=32)


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        path (str): The file.
        axes (dict[str, str]): Axes of the input and of the output, by their names.
            Variable axes have names, fixed ones numbers.
        metadata (dict): Metadata in the file.
        difference (float): Largest difference between the logits of the file and eager.
        relative (float): `difference` relative to the largest logit.
        sizes (list[str]): Input shapes that were compared.
    """

    path: str
    axes: dict[str, str]
    metadata: dict[str, Any]
    difference: float
    relative: float
    sizes: list[str]


def export(
    cfg: Config,
    checkpoint: str,
    kind: str,
    output: str | None = None,
    size: tuple[int, int] | None = None,
    fixed: bool = False,
) -> Exported:
    """Export a network with its weights to one file that runs without this package.

    The exported network takes normalised images (N, 3, H, W) or clips (N, 3, T, H, W).
    All axes except the channels may have any size, unless `fixed`; T is fixed if a 2D
    network for video such as TSM is built for a number of frames. It returns logits
    (N, classes), or (N, classes, H, W) from a segmentor.

    The metadata contain the normalisation (`mean`, `std`, `channels`), `task`,
    `classes`, `size`, `unit_orders` and the version `glore_mm`. They are properties of
    an ONNX model, each as JSON, and an extra file metadata.json in torch's formats.

    A binary segmentor with one output channel returns one logit, (N, 1, H, W), and has
    a `threshold` in its metadata: where the sigmoid of the logit is above it, the class
    is the second one.

    Before the file appears under its name, it is read back and compared with eager
    execution, at the given size and, unless `fixed`, at another one.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        kind (str): 'onnx', 'torchscript' or 'pt2'.
        output (str, optional): File to write. Default: the checkpoint's path with the
            suffix of the format.
        size (tuple[int, int], optional): Height and width for which each unit chooses
            the cheaper order of its products. Default: as in the config.
        fixed (bool): Export for one image or clip of this size only, for networks that
            cannot be exported otherwise. Default: False.

    Returns:
        Exported: The file, its metadata and its difference to eager.

    Raises:
        UserError: The config, the checkpoint or an argument is wrong, a package is
            missing, the network cannot be exported, or the file gives other logits.
    """
    if kind not in _FORMATS:
        raise UserError(f'format {kind!r}: expected one of {", ".join(_FORMATS)}')
    if size and min(size) < 1:
        raise UserError(f'--size {size[0]} {size[1]}: both must be at least 1')
    if kind == 'onnx':
        _check_onnx()
    path = output or _default_path(checkpoint, SUFFIXES[kind])
    if os.path.realpath(path) == os.path.realpath(checkpoint):
        raise UserError(f'{path} would overwrite the checkpoint')
    if os.path.isdir(path):
        raise UserError(f'{path} is a folder: give a file with --out')
    model, classes = load_network(cfg, checkpoint)
    network = _Logits(model, get_task(cfg).logits).requires_grad_(False)
    inputs, axes = _inputs(cfg, size, fixed)
    with eval_mode(network):
        expected = [_run_eager(network, x, cfg) for x in inputs]
        metadata = _make_metadata(cfg, model, classes, inputs[0])
        with atomic_write(path) as draft:
            found = _write_and_run(network, inputs, axes, metadata, kind, draft, cfg)
            difference, relative = _compare(expected, found, kind, cfg)
    batch, channels, *sizes = (
        axes.get(axis, str(size)) for axis, size in enumerate(inputs[0].shape)
    )
    spatial = ', '.join(sizes)
    maps = f', {spatial}' if expected[0].dim() > 2 else ''
    return Exported(
        path,
        {
            _input_name(inputs[0]): f'({batch}, {channels}, {spatial})',
            'logits': f'({batch}, {expected[0].shape[1]}{maps})',
        },
        metadata,
        difference,
        relative,
        [_format_shape(x) for x in inputs],
    )


class _Logits(nn.Module):
    """A network as a function of one tensor."""

    def __init__(
        self, model: nn.Module, logits: Callable[[nn.Module, Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.model = model
        self.logits = logits

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits(self.model, inputs)


def _inputs(
    cfg: Config, size: tuple[int, int] | None, fixed: bool
) -> tuple[list[Tensor], dict[int, str]]:
    """Return inputs, and the names of their variable axes.

    An input of the export's size, and a batch of two at half that size. Not at a larger
    one, as the outputs of units without `normalize` grow with the size. If `fixed`, two
    inputs of the same size.
    """
    shape = tuple(get_task(cfg).example_inputs(cfg)['inputs'].shape)
    if len(shape) == 5:  # (1, T, 3, H, W): a 2D network for clips of T frames
        shape, names = (1, 3, shape[1], *shape[3:]), {3: 'height', 4: 'width'}
    else:
        shape = (1, *shape[-4 if len(shape) == 6 else -3 :])
        names = dict(enumerate(_AXES[len(shape) - 2], 2))
    shape = (*shape[:-2], *(size or shape[-2:]))
    names = {} if fixed else {0: 'batch', **names}
    other = [*shape]
    for axis, name in names.items():
        half = math.ceil(shape[axis] / 2 / _STEPS[name]) * _STEPS[name]
        other[axis] = 2 * half if half == shape[axis] else half
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(each, generator=generator) for each in (shape, other)], names


def _input_name(x: Tensor) -> str:
    return 'clips' if x.dim() == 5 else 'images'


def _run_eager(network: _Logits, x: Tensor, cfg: Config) -> Tensor:
    """Run the network and fix the order of products that each unit chose."""

    def fix_order(unit: GloRe, args: tuple[Tensor]) -> None:
        unit.order = unit.chosen_order(*args)

    units = find_units(network).values()
    handles = [unit.register_forward_pre_hook(fix_order) for unit in units]
    try:
        found = network(x)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f'{cfg.filename}: the network takes no input of {_format_shape(x)}: '
            f'{error_summary(error).rstrip(".")}. Give another --size, or --fixed-size.'
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not found.isfinite().all():
        raise UserError(
            f'{cfg.filename}: with these weights the network gives logits that are '
            f'not finite, for noise of {_format_shape(x)}. Give another checkpoint.'
        )
    return found


def _write_and_run(
    network: _Logits,
    inputs: list[Tensor],
    axes: dict[int, str],
    metadata: dict[str, Any],
    kind: str,
    path: str,
    cfg: Config,
) -> list[Tensor]:
    """Write the file, read it back, and return its logits for the inputs."""
    serialize, load = _FORMATS[kind]
    try:
        # as bytes: a full disk ends the process if torch writes the file itself
        Path(path).write_bytes(serialize(network, inputs[0], axes, metadata))
        run = load(path)
        return [run(x) for x in inputs]
    except OSError:
        raise
    except Exception as error:  # each exporter raises its own type
        raise UserError(
            f'{cfg.filename}: the network cannot be exported as {kind}: '
            f'{error_summary(error).rstrip(".")}. Try another --format, or '
            '--fixed-size.'
        ) from error


def _format_shape(x: Tensor) -> str:
    return '×'.join(map(str, x.shape))


def _make_metadata(
    cfg: Config, model: nn.Module, classes: Sequence[str], x: Tensor
) -> dict[str, Any]:
    channels, mean, std = input_normalization(cfg)
    return dict(
        task=TASKS[cfg.default_scope],
        channels=channels,
        mean=mean,
        std=std,
        classes=list(classes),
        size=list(x.shape[2:]),
        unit_orders={path: unit.order for path, unit in find_units(model).items()},
        glore_mm=glore_mm.__version__,
        **_find_threshold(model),
    )


def _find_threshold(model: nn.Module) -> dict[str, float]:
    """Return the sigmoid's threshold for class 1, if a segmentor has one logit."""
    head = getattr(model, 'decode_head', None)
    if head is None or getattr(head, 'out_channels', None) != 1:
        return {}
    return dict(threshold=float(head.threshold))


def input_normalization(cfg: Config) -> tuple[str, list[float], list[float]]:
    """Return the channel order and the normalisation of a network's input.

    Returns:
        tuple[str, list[float], list[float]]: 'RGB', 'BGR' or 'bands'; mean and standard
        deviation of each channel, for values from 0 to 255.
    """
    given = get_data_preprocessor(cfg)
    channels = get_task(cfg).channels
    if any(given.get(key) for key in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb')):
        channels = channels[::-1]
    count = num_input_channels(cfg)
    mean, std = given.get('mean') or [0] * count, given.get('std') or [1] * count
    if len(mean) > 3 or find_band_loader(cfg):
        channels = 'bands'
    return channels, list(mean), list(std)


def _compare(
    expected: list[Tensor], found: list[Tensor], kind: str, cfg: Config
) -> tuple[float, float]:
    """Return the largest absolute and relative difference.

    Raises:
        UserError: The relative difference is above `TOLERANCE`.
    """
    worst = 0.0, 0.0
    for a, b in zip(expected, found, strict=True):
        same = a.shape == b.shape
        difference = float((a - b).abs().max()) if same else float('inf')
        relative = difference / max(float(a.abs().max()), 1e-30)
        if not relative <= TOLERANCE:  # also true for NaN
            raise UserError(
                f'{cfg.filename}: exported as {kind}, the network gives other logits '
                f'than eager: they differ by {relative:.1e} of the largest logit, '
                f'expected at most {TOLERANCE:.0e}. Nothing was written. Try another '
                '--format, or --fixed-size.'
            )
        worst = max(worst[0], difference), max(worst[1], relative)
    return worst


def _default_path(checkpoint: str, suffix: str) -> str:
    if '://' in checkpoint:
        raise UserError(f'{checkpoint} is an address: give the output file with --out')
    return str(Path(checkpoint.partition('#')[0]).with_suffix(suffix))


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'ONNX export needs a package that is missing ({error}): '
            "pip install 'glore-mm[export]'"
        ) from error


def _to_onnx(
    network: nn.Module, x: Tensor, axes: dict[int, str], metadata: dict[str, Any]
) -> bytes:
    if axes:  # a batch of one would be a constant in some networks, such as SegFormer
        x = torch.cat([x, x])
    program = torch.onnx.export(
        network,
        (x,),
        dynamo=True,
        dynamic_shapes=(axes,),
        input_names=[_input_name(x)],
        output_names=['logits'],
        verbose=False,
    )
    assert program is not None  # it is None only without dynamo
    program.model.metadata_props.update(
        {key: json.dumps(value) for key, value in metadata.items()}
    )
    return program.model_proto.SerializeToString()


def _load_onnx(path: str) -> Callable[[Tensor], Tensor]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def _to_torchscript(
    network: nn.Module, x: Tensor, axes: dict[int, str], metadata: dict[str, Any]
) -> bytes:
    file = io.BytesIO()
    with _silence_deprecation():
        # `_compare` checks the file
        traced = torch.jit.trace(network, x, check_trace=False)
        torch.jit.save(traced, file, {METADATA: json.dumps(metadata)})
    return file.getvalue()


def _load_torchscript(path: str) -> Callable[[Tensor], Tensor]:
    with _silence_deprecation(), open(path, 'rb') as file:
        return torch.jit.load(file)


@contextmanager
def _silence_deprecation() -> Iterator[None]:
    """Ignore the warnings that TorchScript is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', r'`torch\.jit', FutureWarning)
        yield


def _to_pt2(
    network: nn.Module, x: Tensor, axes: dict[int, str], metadata: dict[str, Any]
) -> bytes:
    sizes = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
    # as torch.onnx does: do not specialise on a size of 1 in the example's feature maps
    config: Any = torch.fx.experimental._config
    with config.patch(backed_size_oblivious=True):
        program = torch.export.export(
            network, (x,), dynamic_shapes=(sizes,), strict=False
        )
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata)})
    return file.getvalue()


def _load_pt2(path: str) -> Callable[[Tensor], Tensor]:
    with open(path, 'rb') as file:
        return torch.export.load(file).module()


_FORMATS = dict(
    onnx=(_to_onnx, _load_onnx),
    torchscript=(_to_torchscript, _load_torchscript),
    pt2=(_to_pt2, _load_pt2),
)
