"""The generated videos: Kinetics' layout, and a class that needs a whole clip."""

import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest
from paths import contents
from scipy.stats import binom

from glore_mm.synthetic.mini_kinetics import CLASSES, write_mini_kinetics

SPLITS = ('train', 'val')


def read_list(root, split):
    """Path and label of every video of a split."""
    lines = (root / f'kinetics400_{split}_list_videos.txt').read_text().splitlines()
    return [
        (root / f'videos_{split}' / path, int(label))
        for path, label in (line.split() for line in lines)
    ]


def decoded(path):
    with av.open(str(path)) as video:
        return np.stack([f.to_ndarray(format='rgb24') for f in video.decode(video=0)])


@pytest.fixture(scope='session')
def written(tmp_path_factory):
    return write_mini_kinetics(
        tmp_path_factory.mktemp('data') / 'mini', num_train=24, num_val=8
    )


@pytest.fixture(scope='session')
def clips(tmp_path_factory):
    """Enough samples to learn from: clips of 8 frames with interval 4, and labels."""
    root = tmp_path_factory.mktemp('data') / 'many'
    write_mini_kinetics(root, num_train=600, num_val=300, scale=0.15)
    return {
        split: [(decoded(path)[:29:4], label) for path, label in read_list(root, split)]
        for split in SPLITS
    }


def test_layout_and_lists(written):
    assert (written / 'label_map.txt').read_text().splitlines() == list(CLASSES)
    found = {p for s in SPLITS for p in (written / f'videos_{s}').rglob('*.*')}
    assert found == {path for split in SPLITS for path, _ in read_list(written, split)}
    for split, count in zip(SPLITS, (24, 8), strict=True):
        videos = read_list(written, split)
        assert len(videos) == count
        for path, label in videos:
            assert path.parent.name == CLASSES[label]
            name, start, end = path.stem.rsplit('_', 2)
            assert len(name) == 11 and len(start) == len(end) == 6
            assert int(end) - int(start) == 10
        labels = [label for _, label in videos]
        assert np.bincount(labels).tolist() == [count // 4] * 4


def test_files_are_videos_of_many_formats(written):
    kinds, sizes, rates, lengths = set(), set(), set(), []
    for path, _ in read_list(written, 'train') + read_list(written, 'val'):
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            kinds.add((stream.codec_context.name, path.suffix))
            sizes.add((stream.width, stream.height))
            rates.add(round(float(stream.average_rate), 2))
        lengths.append(len(decoded(path)))
    assert kinds == {('h264', '.mp4'), ('mpeg4', '.mp4'), ('mpeg4', '.avi')}
    assert {(320, 256), (256, 320)} < sizes and len(sizes) > 3
    assert {29.97, 25.0} < rates and len(rates) > 3
    assert min(lengths) >= 30 and max(lengths) <= 60 and len(set(lengths)) > 10
    assert sum(p.stat().st_size for p in written.rglob('*.*')) < 32 * 60_000


@pytest.mark.parametrize('scale', [1, 0.3])
def test_every_file_can_be_decoded(scale, written, tmp_path):
    from mmengine.registry import TRANSFORMS, init_default_scope

    init_default_scope('mmaction')
    import glore_mm.video  # noqa: F401

    root = written
    if scale != 1:  # rows with FFmpeg's padding
        root = write_mini_kinetics(tmp_path / 'small', 24, 8, scale=scale)
    opened, decode = (
        TRANSFORMS.build(step)
        for step in (dict(type='VideoInit'), dict(type='VideoDecode'))
    )
    for path, _ in read_list(root, 'train')[:12]:
        frames = decoded(path)
        sample = opened(dict(filename=str(path)))
        assert sample['total_frames'] == len(frames)
        wanted = [0, len(frames) // 2, len(frames) - 1]
        sample = decode(dict(sample, frame_inds=np.array(wanted)))
        assert np.abs(np.stack(sample['imgs']) - frames[wanted].astype(int)).max() < 3


def test_is_written_once_and_a_larger_set_begins_with_a_smaller_one(tmp_path):
    small = write_mini_kinetics(tmp_path / 'a', 5, 2, scale=0.2)
    again = write_mini_kinetics(tmp_path / 'b', 5, 2, scale=0.2)
    larger = write_mini_kinetics(tmp_path / 'c', 9, 3, scale=0.2)
    other = write_mini_kinetics(tmp_path / 'd', 5, 2, scale=0.2, seed=1)
    assert contents(small) == contents(again)
    videos = {k: v for k, v in contents(small).items() if k.startswith('videos')}
    assert len(videos) == 7
    assert videos.items() < contents(larger).items()
    assert not videos.items() & contents(other).items()
    for split in SPLITS:
        name = f'kinetics400_{split}_list_videos.txt'
        assert (larger / name).read_text().startswith((small / name).read_text())

    before = os.stat(small / 'label_map.txt').st_mtime_ns
    assert write_mini_kinetics(small, 5, 2, scale=0.2) == small
    assert os.stat(small / 'label_map.txt').st_mtime_ns == before
    with pytest.raises(FileExistsError, match='is not the complete data set'):
        write_mini_kinetics(small, 6, 2, scale=0.2)
    read_list(small, 'val')[0][0].unlink()
    with pytest.raises(FileExistsError, match='remove it, or write to another folder'):
        write_mini_kinetics(small, 5, 2, scale=0.2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a', 'b', 'c', 'd']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_train=0), 'num_train must be an integer of 1 or more, got 0'),
        (dict(num_val=1.5), 'num_val must be an integer of 1 or more, got 1.5'),
        (dict(seed=-1), 'seed must be an integer of 0 or more, got -1'),
        (dict(scale=0), 'scale must be from 0.1 to 10, got 0'),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_mini_kinetics(tmp_path / 'mini', **arguments)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path):
    command = [sys.executable, '-m', 'glore_mm.synthetic.mini_kinetics', 'mini']
    small = ['--num-train', '2', '--num-val', '1', '--scale', '0.2', '--seed', '3']
    done = subprocess.run(
        [*command, *small], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == 'mini\n', done.stderr
    assert json.loads((tmp_path / 'mini' / 'mini_kinetics.json').read_text()) == dict(
        version=1, seed=3, scale=0.2, train=2, val=1
    )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and 'is not the complete data set' in done.stderr


# Positions follow from the colours: those of the red and the blue object, as angles, as
# the box is periodic (an object that leaves on one side enters on the other).


def positions(frames):
    """Position of each object in each frame, (2, T), complex of length 1, or 0."""
    frames = frames.astype(float)
    red = np.clip(frames[..., 0] - frames[..., 1:].max(axis=-1) - 60, 0, None)
    blue = np.clip(frames[..., 2] - frames[..., :2].max(axis=-1) - 60, 0, None)
    width = frames.shape[2]
    circle = np.exp(2j * np.pi * np.arange(width) / (width / 2))
    found = []
    for weight in (red, blue):
        mean = (weight.sum(axis=1) * circle).sum(axis=1)
        found.append(np.where(np.abs(mean) > 0, mean / np.maximum(np.abs(mean), 1), 0))
    return np.array(found)


def steps(place):
    """Steps between frames, along the circle, (2, T − 1), in radians."""
    return np.angle(place[:, 1:] * place[:, :-1].conj())


def accuracy(features, clips):
    """Accuracy on val of a ridge regression with the features and their products."""

    def matrix(split):
        rows, labels = [], []
        for frames, label in clips[split]:
            base = features(frames)
            products = np.outer(base, base)[np.triu_indices(len(base))]
            rows.append(np.concatenate([[1], base, products]))
            labels.append(label)
        return np.array(rows), np.array(labels)

    (x, y), (vx, vy) = map(matrix, SPLITS)
    scale = x.std(axis=0) + 1e-6
    x, vx = x / scale, vx / scale
    gram = x.T @ x + 10 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ np.eye(len(CLASSES))[y])
    return np.mean((vx @ weights).argmax(axis=1) == vy)


def all_of(frames):
    """Motions and positions of both objects in a clip."""
    place = positions(frames)
    return np.concatenate(
        [steps(place).ravel(), place.real.ravel(), place.imag.ravel()]
    )


def masked(part):
    def features(frames):
        frames = frames.copy()
        height, width = frames.shape[1:3]
        hidden = dict(
            left=np.s_[:, :, width // 2 :],
            right=np.s_[:, :, : width // 2],
            top=np.s_[:, height // 2 :],
            bottom=np.s_[:, : height // 2],
        )
        frames[hidden[part]] = 0
        return all_of(frames)

    return features


def one_frame(frames):
    place = positions(frames[3:4])
    turns = np.concatenate([place, place**2]).ravel()
    return np.concatenate([turns.real, turns.imag])


@pytest.mark.slow
def test_a_whole_clip_determines_the_class(clips):
    assert accuracy(all_of, clips) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize('part', ['left', 'right', 'top', 'bottom', 'one frame'])
def test_a_part_of_a_clip_has_no_information_about_the_class(part, clips):
    """The accuracy does not exceed that of chance, p = 0.001."""
    features = one_frame if part == 'one frame' else masked(part)
    bound = binom.ppf(0.999, 300, 1 / len(CLASSES)) / 300
    assert accuracy(features, clips) <= bound
