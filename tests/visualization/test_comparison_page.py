"""Comparison of two segmentation networks: dumps, the tool, the page in a browser."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glore_mm.analysis.dumps import check_same_data, class_iou, read_dump
from glore_mm.analysis.significance import compare_miou
from glore_mm.utils.errors import UserError
from glore_mm.visualization.comparison_page import image_scores

CLASSES = ('road', 'sky', 'car')


def dump(path, confusion, names, classes=CLASSES):
    np.savez_compressed(
        path,
        names=np.array(names),
        classes=np.array(classes),
        confusion=np.asarray(confusion, np.int64),
    )
    return path


@pytest.fixture
def dumps(tmp_path):
    """Dumps of four images; the second network is better on one, worse on another."""
    names = []
    for i in range(4):
        names.append(str(tmp_path / f'street_{i}.png'))
        Image.new('RGB', (64, 32), (60 * i, 0, 0)).save(names[-1])
    base = np.array([[[60, 20, 20], [10, 90, 0], [0, 0, 0]]] * 4)
    other = base.copy()
    other[2] = np.diag([100, 100, 0])
    other[1] = [[50, 30, 20], [10, 90, 0], [0, 0, 0]]
    return dump(tmp_path / 'a.npz', base, names), dump(tmp_path / 'b.npz', other, names)


def test_image_scores():
    confusion = np.array([[[3, 1], [0, 0]], [[0, 0], [0, 0]]])
    scores = image_scores(confusion)
    assert scores[0] == 0.75  # sky is not in the image and not counted
    assert np.isnan(scores[1])


def test_the_tool(tool, dumps, tmp_path, opened):
    a, b = dumps
    nested = Path('shown_b', tmp_path.name)  # as for a data set with subfolders
    for folder in (Path('shown_a'), nested):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(4):
            Image.new('RGB', (256, 48)).save(tmp_path / folder / f'street_{i}.png')
    done = tool(
        'compare', a, b, '--names', 'FCN', '<GloRe>', '--images', 2, '--out',
        'pages/c.html', '--show-dirs', 'shown_a', 'shown_b', cwd=tmp_path,
    )  # fmt: skip
    totals = [np.load(path)['confusion'].sum(axis=0) for path in dumps]
    miou = [100 * np.nanmean(class_iou(total)) for total in totals]
    sure = compare_miou(*(np.load(path)['confusion'] for path in dumps))
    said = (
        f'{miou[1] - miou[0]:+.2f}, 95 % interval {100 * sure.low:+.2f} to '
        f'{100 * sure.high:+.2f}, p = {sure.p:.2g} (paired permutation)'
    )
    assert done.stdout == (
        f'mIoU: FCN {miou[0]:.2f}, <GloRe> {miou[1]:.2f} ({said}) | 4 images | '
        'page: pages/c.html\n'
    )
    page = opened(tmp_path / 'pages' / 'c.html')
    assert page.locator('h1').inner_text() == 'FCN and <GloRe>'
    assert 'higher than FCN on 1\nof them and lower on 1.' in page.content()
    assert said in page.content()
    cards = page.locator('.card strong').all_inner_texts()
    assert cards == ['street_2.png', 'street_1.png']
    assert page.locator('.card img').count() == 4
    assert page.locator('img[alt^="confusion"]').count() == 2
    road = page.locator('tr', has_text='road').locator('td').all_inner_texts()
    iou = [100 * class_iou(total)[0] for total in totals]
    assert road[1:] == [*(f'{v:.2f}' for v in iou), f'{iou[1] - iou[0]:+.2f}']
    assert 'car' in page.locator('table').inner_text()
    assert page.evaluate("Chart.getChart('iou').data.datasets.map(d => d.data[0])") == (
        pytest.approx(iou)
    )


def test_pictures_of_images_with_relative_paths(tool, dumps, tmp_path, opened):
    """As of several data sets, each with a folder of its own in --show-dir."""
    shown = []
    for old in dumps:
        content = dict(np.load(old))
        content['names'] = np.array([f'data/{Path(n).name}' for n in content['names']])
        np.savez_compressed(old, **content)
        shown.append(tmp_path / f'shown_{old.stem}' / 'data')
        shown[-1].mkdir(parents=True)
        for name in content['names']:
            Image.new('RGB', (256, 48)).save(shown[-1] / Path(name).name)
    folders = [path.parent.name for path in shown]
    tool('compare', *dumps, '--show-dirs', *folders, cwd=tmp_path)
    page = opened(tmp_path / 'comparison.html')
    assert page.locator('.card img').count() == 8


def test_without_show_dirs_the_images_are_shown(tool, dumps, tmp_path, opened):
    Path(tmp_path / 'street_1.png').unlink()
    tool('compare', *dumps, cwd=tmp_path)
    page = opened(tmp_path / 'comparison.html', width=390)
    assert page.locator('.card').count() == 4
    assert page.locator('.card img').count() == 3
    assert page.evaluate('document.documentElement.scrollWidth') <= 390


def test_wrong_arguments(tool, dumps, tmp_path):
    a, b = dumps
    content = dict(np.load(b))
    confusion, names = content['confusion'], content['names']
    scores = tmp_path / 'scores.npz'
    np.savez(scores, scores=np.ones(3), names=np.ones(3))
    (tmp_path / 'broken.npz').write_bytes(b.read_bytes()[:200])
    for path, message in (
        (tmp_path / 'none.npz', 'no dump at '),
        (tmp_path / 'broken.npz', 'cannot be read as a dump: '),
        (scores, 'has scores, names, neither confusion matrices nor scores with'),
    ):
        with pytest.raises(UserError, match=message):
            read_dump(str(path))

    moved = confusion.copy()
    moved[3] = np.diag([1, 2, 3])
    few = dump(tmp_path / 'few.npz', confusion[:3], names[:3])
    for path, message in (
        (
            dump(tmp_path / 'c.npz', confusion, names, ('sky', 'road', 'car')),
            rf'different classes: number 0 is road in {a}, but sky in ',
        ),
        (few, f'has 4 samples, {few} has 3'),
        (
            dump(tmp_path / 'e.npz', moved, names),
            rf'have different labels for 1 sample\(s\), the first {names[3]}',
        ),
    ):
        with pytest.raises(UserError, match=message):
            check_same_data(read_dump(str(a)), read_dump(str(path)))

    done = tool('compare', a, b, '--show-dirs', 'x', 'y', cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('error: no image at x/street_2.png')
    assert not (tmp_path / 'comparison.html').exists()


def scores(path, right, names=None):
    """A dump of a classifier of two classes that classifies these samples correctly."""
    right = np.asarray(right, bool)
    labels = np.arange(len(right)) % 2
    np.savez_compressed(
        path,
        names=np.array(names or [f'{i}.jpg' for i in range(len(right))]),
        classes=np.array(['ant', 'bee']),
        labels=labels,
        scores=np.eye(2)[np.where(right, labels, 1 - labels)],
    )
    return path


@pytest.mark.slow
def test_two_classifiers(tool, tmp_path, dumps):
    a = scores(tmp_path / 'plain.npz', [1] * 30 + [0] * 20)
    b = scores(tmp_path / 'glore.npz', [0] * 2 + [1] * 40 + [0] * 8)
    done = tool('compare', a, b, '--names', 'plain', 'GloRe', cwd=tmp_path)
    assert done.stdout.startswith('top-1: plain 60.00, GloRe 80.00 (+20.00, 95 % ')
    # 14 samples differ; two-sided binomial p of 12 and 2: 212 / 2¹⁴
    assert done.stdout.endswith(
        'p = 0.013 (McNemar, exact)) | 50 samples, 12 right by GloRe alone, '
        '2 by plain alone\n'
    )
    assert not (tmp_path / 'comparison.html').exists()
    done = tool('compare', a, dumps[0], cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert 'is from a segmentation network, the other from a classi' in done.stderr
