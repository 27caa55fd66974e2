"""The long-range benchmark: its data, and which networks can use the cues."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from paths import ROOT

from glore_mm.apis.ablate import read_ablation
from glore_mm.config.build import build_model
from glore_mm.synthetic.long_range_clips import draw_clip, write_long_range_clips
from glore_mm.synthetic.long_range_strips import (
    COLORS,
    SHAPES,
    draw_strip,
    write_long_range_strips,
)

CONFIGS = ROOT / 'configs/ablation'
GLORE = ('glore_stem', 'glore_res2', 'glore_res3', 'glore_res4')
IN_STRIPS = (*GLORE, 'glore_res4_normalize', 'non_local_res4', 'context_res4')
IN_CLIPS = (*GLORE, 'non_local_res4')


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope='session')
def strips(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'strips'
    return write_long_range_strips(root, num_train=32, num_val=32, num_cues=2)


@pytest.fixture
def ablation(strips, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return read_ablation(str(CONFIGS / 'long_range.py'), dict(data_root=str(strips)))


def test_all_classes_and_places_are_balanced(strips):
    for split in ('train', 'val'):
        colors, sides = Counter(), Counter()
        for path in sorted((strips / 'labels' / split).glob('??????.png')):
            labels = read(path)
            colors.update(np.unique(labels[labels != 255]).tolist())
            columns = np.flatnonzero((labels != 255).any(axis=0))
            sides['left' if columns.mean() < 320 else 'right'] += 1
        assert sides == dict(left=16, right=16)
        # each of 16 pairs of colours occurs twice, each colour in 7 pairs
        assert colors == dict.fromkeys(range(len(COLORS)), 14)


def test_the_erased_copy_lacks_only_the_cues(strips):
    for path in sorted((strips / 'images' / 'val').glob('??????.png')):
        erased = path.with_name(f'{path.stem}_erased.png')
        changed = (read(path) != read(erased)).any(axis=2)
        labels = read(strips / 'labels' / 'val' / path.name)
        assert np.array_equal(labels, read(strips / 'labels' / 'val' / erased.name))
        cues = np.flatnonzero(changed.any(axis=0))
        regions = np.flatnonzero((labels != 255).any(axis=0))
        gap = max(regions.min() - cues.max(), cues.min() - regions.max())
        assert gap >= 400
        assert np.median(read(erased)[labels != 255]) == 128  # regions are grey


def test_a_region_has_the_colour_of_the_cue_of_its_shape():
    colors = (2, 0, 3)
    strip, erased, labels = draw_strip(np.random.default_rng(0), colors, True)
    cues = (strip != erased).any(axis=2)
    for shape, color in zip(SHAPES, colors, strict=True):
        cue = cues & (strip == list(COLORS.values())[color]).all(axis=2)
        corners = {}
        for name, mask in (('cue', cue), ('region', labels == color)):
            contours, _ = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )
            outline = max(contours, key=cv2.contourArea)
            corners[name] = len(cv2.approxPolyDP(outline, 2.5, True))
        assert corners['cue'] == corners['region'], shape
        assert (corners['cue'] == 3) == (shape == 'triangle')


def test_arguments(tmp_path):
    plain = draw_strip(np.random.default_rng(0), (1,), False, num_distractors=0)[0]
    rings = draw_strip(np.random.default_rng(0), (1,), False, num_distractors=5)[0]
    assert not np.array_equal(plain, rings)
    near = draw_strip(np.random.default_rng(0), (1,), True, distance=40)
    gap = np.flatnonzero((near[2] != 255).any(axis=0)).min()
    gap -= np.flatnonzero((near[0] != near[1]).any(axis=(0, 2))).max()
    assert 40 <= gap < 480
    for wrong, message in (
        (dict(distance=481), 'distance must be at most 480, got 481'),
        (dict(num_cues=4), 'num_cues must be at most 3, got 4'),
        (dict(num_cues=0), 'num_cues must be an integer of 1 or more, got 0'),
    ):
        with pytest.raises(ValueError, match=message):
            write_long_range_strips(tmp_path / 'x', **wrong)


def test_is_written_once(strips, tmp_path):
    again = write_long_range_strips(
        tmp_path / 'again', num_train=32, num_val=32, num_cues=2
    )
    path = 'images/val/000007.png'
    assert (again / path).read_bytes() == (strips / path).read_bytes()
    with pytest.raises(FileExistsError, match='is not the complete data set of these'):
        write_long_range_strips(
            strips, num_train=32, num_val=32, num_cues=2, distance=300
        )


def output(network, strip):
    """Return the network's input (1, 3, H, W) and its output for every pixel."""
    x = torch.from_numpy(strip[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    x = network.data_preprocessor(dict(inputs=[x[0]], data_samples=None))['inputs']
    x = x.detach().requires_grad_()
    logits = network.decode_head(network.extract_feat(x))
    size = strip.shape[:2]  # as in mmseg
    return x, torch.nn.functional.interpolate(logits, size, mode='bilinear')


def influence(network, strip, erased, labels):
    """Return how much scored outputs depend on the cue's pixels and on all pixels."""
    x, logits = output(network, strip)
    scored = torch.from_numpy(labels != 255)
    # random weights, as terms of a plain sum may cancel
    torch.manual_seed(0)
    weights = torch.randn_like(logits) * scored
    (grad,) = torch.autograd.grad((logits * weights).sum(), x)
    cues = torch.from_numpy((strip != erased).any(axis=2))
    return grad.abs().sum(dim=1)[0][cues].max().item(), grad.abs().max().item()


def network_of(ablation, variant):
    torch.manual_seed(0)
    network = build_model(ablation.config(variant)).eval()
    with torch.no_grad():  # a new unit is the identity
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize('cues_left', [True, False])
@pytest.mark.parametrize('variant', ['plain', 'deeper'])
def test_plain_networks_do_not_depend_on_cues(ablation, variant, cues_left):
    """The gradient is exactly 0 beyond the receptive field."""
    network = network_of(ablation, variant)
    for seed in range(4):
        case = draw_strip(np.random.default_rng(seed), (0, 3), cues_left)
        of_cues, of_any = influence(network, *case)
        assert of_cues == 0
        assert of_any > 0


@pytest.mark.parametrize('variant', IN_STRIPS)
def test_networks_with_global_units_depend_on_cues(ablation, variant):
    network = network_of(ablation, variant)
    for seed, colors in enumerate(((0,), (3,), (0, 3))):
        strip, erased, labels = draw_strip(np.random.default_rng(seed), colors, True)
        changed = output(network, strip)[1] != output(network, erased)[1]
        assert changed.any(dim=1)[0][torch.from_numpy(labels != 255)].all()


def test_the_deeper_variant_costs_most(ablation):
    costs = {name: ablation.cost(name) for name in ablation.variants}
    assert [*costs] == ['plain', 'deeper', *IN_STRIPS]
    assert costs['deeper'].macs == max(cost.macs for cost in costs.values())
    assert costs['deeper'].parameters > costs['glore_res4'].parameters


def test_accuracy(ablation, strips):
    """Over the scored pixels, separately for copies without cues."""
    from mmengine.registry import DATASETS, METRICS

    cfg = ablation.config('plain')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == 64
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    for sample in map(dataset.__getitem__, range(64)):
        found = sample['data_samples']
        truth = found.gt_sem_seg.data
        erased = found.img_path.endswith('_erased.png')
        guess = truth if not erased else torch.zeros_like(truth)
        item = dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=guess))
        metric.process({}, [dict(item, img_path=found.img_path)])
    scores = metric.evaluate(64)
    assert scores['acc'] == 100
    assert scores['acc_erased'] == pytest.approx(25, abs=2)  # sizes of shapes differ


# ------------------------------------------------------------------------- clips


@pytest.fixture(scope='session')
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'clips'
    return write_long_range_clips(root, num_train=8, num_val=8)


@pytest.fixture
def in_time(clips, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = CONFIGS / 'long_range_video.py'
    return read_ablation(str(path), dict(data_root=str(clips)))


def iter_frames(dataset, index):
    """Frames (T, H, W, 3), RGB, after preprocessing."""
    return dataset[index]['inputs'][0].permute(1, 2, 3, 0).numpy()


def test_decoded_clips_equal_the_drawn_ones(in_time):
    """Bitwise, so the codec passes no information between frames."""
    from mmengine.registry import DATASETS

    dataset = DATASETS.build(in_time.config('plain').test_dataloader.dataset)
    assert len(dataset) == 16
    for i in range(8):
        shown, erased = draw_clip(np.random.default_rng([0, 1, i]), i % 4)
        assert np.array_equal(iter_frames(dataset, 2 * i), shown)
        assert np.array_equal(iter_frames(dataset, 2 * i + 1), erased)
        assert dataset[2 * i]['data_samples'].gt_label.item() == i % 4
        cue = np.flatnonzero((shown != erased).any(axis=(1, 2, 3)))
        assert len(cue) == 4
        assert 28 - cue.max() - 1 >= 20
    with pytest.raises(ValueError, match='distance must be at most 24, got 25'):
        write_long_range_clips('x', distance=25)


def influence_of_cue(network, clip, erased):
    """How much the class depends on the frames with the cue and on all frames."""
    x = torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float().requires_grad_()
    scores = network.cls_head(network.backbone((x - 128) / 60))
    torch.manual_seed(0)
    (grad,) = torch.autograd.grad((scores * torch.randn_like(scores)).sum(), x)
    cue = torch.from_numpy((clip != erased).any(axis=(1, 2, 3)))
    return grad[0][:, cue].abs().max().item(), grad.abs().max().item()


@pytest.mark.parametrize('variant', ['plain', 'deeper'])
def test_a_plain_network_does_not_depend_on_the_beginning(in_time, variant):
    network = network_of(in_time, variant)
    for seed in range(4):
        case = draw_clip(np.random.default_rng(seed), 0)
        of_cue, of_any = influence_of_cue(network, *case)
        assert of_cue == 0
        assert of_any > 0


@pytest.mark.parametrize('variant', IN_CLIPS)
def test_a_network_with_a_global_unit_depends_on_the_beginning(in_time, variant):
    case = draw_clip(np.random.default_rng(0), 0)
    assert influence_of_cue(network_of(in_time, variant), *case)[0] > 0


def test_accuracy_of_clips(in_time):
    from mmengine.registry import METRICS

    metric = METRICS.build(in_time.config('plain').test_evaluator)
    for name, label, guess in (
        ('000000.avi', 0, 0), ('000001.avi', 1, 0), ('000000_erased.avi', 0, 3)
    ):  # fmt: skip
        score, truth = torch.eye(4)[guess], torch.tensor([label])
        sample = dict(filename=f'val/{name}', pred_score=score, gt_label=truth)
        metric.process({}, [sample])
    assert metric.evaluate(3) == dict(acc=50, acc_erased=0)


def test_the_deeper_video_variant_costs_most(in_time):
    costs = {name: in_time.cost(name) for name in in_time.variants}
    assert [*costs] == ['plain', 'deeper', *IN_CLIPS]
    assert costs['deeper'].macs == max(cost.macs for cost in costs.values())


# ---------------------------------------------------------------------- training

SMALLER = """
_base_ = '{path}'
variants = dict(_delete_=True, plain=dict(), glore_res4=_base_.variants.glore_res4)
"""


@pytest.mark.slow
def test_a_unit_learns_the_task_and_a_plain_network_does_not(tool, tmp_path):
    write_long_range_strips(tmp_path / 'data/long_range_strips')
    config = tmp_path / 'smaller.py'
    config.write_text(SMALLER.format(path=CONFIGS / 'long_range.py'))
    tool('ablate', config, '--seeds', 1, cwd=tmp_path)
    found = {}
    for name in ('plain', 'glore_res4'):
        file = tmp_path / f'work_dirs/smaller/runs/{name}_seed0.json'
        found[name] = json.loads(file.read_text())['metrics']
    assert found['plain']['acc'] < 40
    assert found['glore_res4']['acc'] > 90
    assert all(metrics['acc_erased'] < 40 for metrics in found.values())
