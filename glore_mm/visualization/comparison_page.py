"""HTML page that compares two segmentation networks."""

import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from glore_mm.analysis.dumps import ConfusionDump, check_same_data, class_iou
from glore_mm.analysis.significance import Difference, format_difference
from glore_mm.utils.errors import UnreadableSampleError, UserError
from glore_mm.utils.images import read_image
from glore_mm.visualization.figures import figure_to_image
from glore_mm.visualization.html import data_uri, render

_WIDTH = 1000  # maximum side of images in the page, in pixels


def comparison_page(
    dumps: Sequence[ConfusionDump],
    names: Sequence[str],
    difference: Difference,
    show_dirs: Sequence[str] | None = None,
    images: int = 24,
) -> str:
    """Create an HTML page that compares two networks on one data set.

    Args:
        dumps (Sequence[ConfusionDump]): Dumps of the baseline and of the other network.
        names (Sequence[str]): Names of the two networks.
        difference (Difference): Difference in mean IoU, from `compare_miou`.
        show_dirs (Sequence[str], optional): Folders that tools/test.py --show-dir wrote
            for the two networks. Default: show the input images only.
        images (int): Number of images to show, those with the largest differences.
            Default: 24.

    Returns:
        str: The page. It embeds all its content and loads nothing from a network.

    Raises:
        UserError: The dumps are from different data, or an image is missing.
    """
    check_same_data(*dumps)
    totals = [dump.total for dump in dumps]
    iou = np.stack([dump.iou for dump in dumps])
    scores = np.stack([image_scores(dump.confusion) for dump in dumps])
    gains = scores[1] - scores[0]
    order = np.argsort(-np.abs(np.nan_to_num(gains)), kind='stable')[:images]
    shown = [
        dict(
            name=osp.basename(dumps[0].names[i]),
            scores=scores[:, i].tolist(),
            pictures=_pictures(str(dumps[0].names[i]), show_dirs),
        )
        for i in order
    ]
    classes = dumps[0].classes.tolist()
    return render(
        'comparison.html',
        names=names,
        rows=[
            ('mean IoU', *np.nanmean(iou, axis=1)),
            ('pixel accuracy', *(np.trace(total) / total.sum() for total in totals)),
            *zip(classes, *iou, strict=True),
        ],
        difference=format_difference(difference, scale=100),
        count=len(gains),
        better=[int((gains > 0).sum()), int((gains < 0).sum())],
        shown=shown,
        matrices=[
            data_uri(confusion_matrix(total, classes, name))
            for total, name in zip(totals, names, strict=True)
        ],
        data=dict(
            names=names, classes=classes, iou=(100 * np.nan_to_num(iou)).tolist()
        ),
    )


def image_scores(confusion: np.ndarray) -> np.ndarray:
    """Compute the mean IoU of each image over the classes in its labels.

    Args:
        confusion (np.ndarray): Pixels by true and predicted class, (n, C, C).

    Returns:
        np.ndarray: (n,), from 0 to 1; NaN for an image without a labelled pixel.
    """
    present = confusion.sum(axis=2) > 0
    iou = np.where(present, np.nan_to_num(class_iou(confusion)), 0)
    with np.errstate(invalid='ignore'):
        return iou.sum(axis=1) / present.sum(axis=1)


def confusion_matrix(
    confusion: np.ndarray, classes: Sequence[str], title: str
) -> Image.Image:
    """Draw a confusion matrix, in per cent of the true class.

    Args:
        confusion (np.ndarray): Pixels by true class (row) and predicted class (column),
            (C, C).
        classes (Sequence[str]): Class names.
        title (str): Title above the matrix.

    Returns:
        Image.Image: RGB.
    """
    with np.errstate(invalid='ignore'):
        shares = 100 * confusion / confusion.sum(axis=1, keepdims=True)
    side = 2.4 + 0.24 * len(classes)
    figure = Figure(figsize=(side, side), dpi=110, layout='constrained')
    axes = figure.add_subplot()
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=90, fontsize=7)
    axes.set_yticks(ticks, classes, fontsize=7)
    axes.set(title=title, xlabel='predicted', ylabel='true')
    for row, column in np.argwhere(shares >= 1):
        value = shares[row, column]
        color = 'white' if value > 60 else 'black'
        where: dict[str, Any] = dict(ha='center', va='center')
        axes.text(column, row, f'{value:.0f}', **where, fontsize=5, color=color)
    return figure_to_image(figure)


def _pictures(path: str, show_dirs: Sequence[str] | None) -> list[str]:
    """Return the images to show for a sample, as data URIs."""
    files = [path]
    if show_dirs:
        files = [_find_panels(path, folder) for folder in show_dirs]
    pictures = []
    for file in files:
        try:
            picture = read_image(file)
        except UnreadableSampleError as error:
            if show_dirs:
                raise UserError(
                    f'no image at {file}: {error.__cause__}. Write the images with '
                    'tools/test.py --show-dir.'
                ) from error
            return []  # the data set may be on another machine
        picture.thumbnail((_WIDTH, _WIDTH))
        pictures.append(data_uri(picture, quality=85))
    return pictures


def _find_panels(path: str, folder: str) -> str:
    """Find the output for a sample in a folder of --show-dir.

    The folder has the subfolders of the data set, but the path's first parts, down to
    the root of the data set, are unknown.
    """
    picture = Path(path).with_suffix('.png')
    *folders, name = picture.relative_to(picture.anchor).parts
    files = [osp.join(folder, *folders[i:], name) for i in range(len(folders) + 1)]
    return next(filter(osp.isfile, files), files[-1])
