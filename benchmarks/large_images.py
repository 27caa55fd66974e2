"""Peak memory and time of inference on large images: whole, slide and global_slide.

    python benchmarks/large_images.py

Each measurement runs in a process of its own, which reads a tiled TIFF and writes the
classes. The memory is the peak of the process minus what it takes before the image.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from mmengine.config import Config

from glore_mm.apis.tasks import get_task
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.device import device_name

CONFIG = Path(__file__).parents[1] / 'configs/seg/glore_windows_r18_custom.py'
CLASSES = 'abcdefgh'
WINDOW = 512  # pixels; neighbours overlap by an eighth
_ROWS = 512  # of the generated image at a time


def main() -> None:
    """Measure all sizes and modes, and print and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[1024, 2048, 4096])
    parser.add_argument(
        '--modes', nargs='+', default=['whole', 'slide', 'global_slide']
    )
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'))
    args = parser.parse_args()
    rows = []
    spawn = multiprocessing.get_context('spawn')
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            image = Path(folder, f'{size}.tif')
            write_image(image, size)
            for mode in args.modes:
                queue = spawn.Queue()
                job = (str(image), mode, args.threads, queue)
                process = spawn.Process(target=measure, args=job)
                process.start()
                process.join()
                row = dict(size=size, mode=mode, exit=process.exitcode)
                if process.exitcode == 0:
                    row.update(queue.get())
                print(row, flush=True)
                rows.append(row)
            image.unlink()
    args.out.mkdir(parents=True, exist_ok=True)
    record = dict(hardware=device_name(), threads=args.threads, rows=rows)
    (args.out / 'large_images.json').write_text(json.dumps(record, indent=1) + '\n')


def write_image(path: Path, size: int) -> None:
    """Write a square tiled TIFF of noise with slow changes, a few rows at a time."""
    rng = np.random.default_rng(0)
    with rasterio.open(
        path, 'w', driver='GTiff', width=size, height=size, count=3, dtype='uint8',
        tiled=True, blockxsize=256, blockysize=256, compress='deflate',
    ) as file:  # fmt: skip
        for top in range(0, size, _ROWS):
            coarse = rng.integers(40, 216, (3, 1, size // 64)).repeat(64, axis=2)
            noise = rng.integers(-8, 9, (3, 8, size), np.int16).repeat(_ROWS // 8, 1)
            values = (coarse + noise).astype(np.uint8)
            file.write(values, window=((top, top + _ROWS), (0, size)))


def measure(path: str, mode: str, threads: int, queue: multiprocessing.Queue) -> None:
    """Segment a file and report seconds and MiB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    cfg = config(mode)
    model = build_model(cfg).eval()
    predictor = get_task(cfg).predictor(cfg, model, list(CLASSES))
    warm = np.zeros((WINDOW, WINDOW, 3), np.uint8)
    predictor.predict(warm)
    before, begin = peak(), time.perf_counter()
    labels = predictor.predict(path)
    seconds = time.perf_counter() - begin
    assert labels.shape[0] == labels.shape[1]
    queue.put(dict(seconds=round(seconds, 1), mib=round(peak() - before)))


def config(mode: str) -> Config:
    """Return the config of a network in a mode."""
    stride = WINDOW * 7 // 8
    options = {
        'classes': list(CLASSES),
        'model.decode_head.num_classes': len(CLASSES),
        'model.auxiliary_head.num_classes': len(CLASSES),
        'model.test_cfg': dict(
            mode=mode, crop_size=(WINDOW, WINDOW), stride=(stride, stride)
        ),
    }
    return load_config(str(CONFIG), options)


def peak() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == '__main__':
    main()
