"""Patches of mmsegmentation."""

import math
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from torch.nn import functional as F

import glore_mm  # noqa: F401

# isort: split
from mmseg.models import SegTTAModel
from mmseg.models.losses import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    HuasdorffDisstanceLoss,
    LovaszLoss,
    OhemCrossEntropy,
    TverskyLoss,
)
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import datafrombytes

IGNORED = 255
WEIGHTS = [1.0, 2.0, 0.5]
HEAD = dict(
    type='FCNHead', in_channels=3, in_index=0, channels=3, num_convs=0,
    concat_input=False, num_classes=2, out_channels=1, threshold=0.6,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
)  # fmt: skip


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def batch(channels=3, ignored=slice(0, 2), dtype=torch.float32):
    """Scores of two images, and labels with ignored rows."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, channels, 6, 6, generator=generator, dtype=dtype)
    label = torch.randint(0, max(channels, 2), (2, 6, 6), generator=generator)
    label[:, ignored] = IGNORED
    return scores.requires_grad_(), label


class Images(torch.nn.Module):
    """A backbone whose only feature map is the image."""

    def forward(self, inputs):
        return [inputs]


def binary_network(type='EncoderDecoder', head=HEAD, **options):
    torch.manual_seed(0)
    settings = dict(type=type, test_cfg=ConfigDict(mode='whole'), **options)
    return MODELS.build(
        dict(settings, backbone=dict(type=Images), decode_head=head)
    ).eval()


def sample(**meta):
    return SegDataSample(
        metainfo=dict(img_shape=(8, 8), ori_shape=(8, 8), img_path='a.png', **meta)
    )


@torch.no_grad()
def test_binary_predictions_are_integers_with_and_without_tta():
    network = binary_network()
    images = torch.randn(1, 3, 8, 8)
    (plain,) = network.predict(images, [sample()])
    assert plain.pred_sem_seg.data.dtype == torch.int64
    assert plain.pred_sem_seg.data.unique().tolist() == [0, 1]
    model = SegTTAModel(network)
    (merged,) = model.merge_preds([network.predict(images, [sample()])])
    assert merged.pred_sem_seg.data.dtype == torch.int64
    assert torch.equal(merged.pred_sem_seg.data, plain.pred_sem_seg.data)


def test_tta_of_binary_networks_averages_the_scores_of_its_views():
    model = SegTTAModel(binary_network())
    views = [sample(), sample()]
    for view, score in zip(views, ([0.5, 0.9], [0.6, 0.4]), strict=True):
        view.seg_logits = PixelData(data=torch.tensor([[score]]))
    (merged,) = model.merge_preds([views])
    assert merged.pred_sem_seg.data.tolist() == [[[0, 1]]]


def test_accuracy_of_one_channel_is_that_of_its_predictions():
    head = binary_network().decode_head
    logits = torch.tensor([[[[-2.0, 0.2, 1.0, 1.0, 3.0]]]])  # sigmoid(0.2) is 0.55
    labelled = sample()
    labelled.gt_sem_seg = PixelData(data=torch.tensor([[[0, 0, 1, 1, IGNORED]]]))
    losses = head.loss_by_feat(logits, batch_data_samples=[labelled])
    assert float(losses['acc_seg']) == pytest.approx(100)


@torch.no_grad()
def test_cascades_have_a_threshold():
    network = binary_network('CascadeEncoderDecoder', [HEAD], num_stages=1)
    (found,) = network.postprocess_result(torch.tensor([[[[0.0, 1.0]]]]))
    assert found.pred_sem_seg.data.tolist() == [[[0, 1]]]


@pytest.mark.parametrize('avg_non_ignore', [False, True])
def test_class_weights_of_cross_entropy(avg_non_ignore):
    scores, label = batch(dtype=torch.float64)
    loss = CrossEntropyLoss(class_weight=WEIGHTS, avg_non_ignore=avg_non_ignore)
    expected = F.cross_entropy(
        scores, label, scores.new_tensor(WEIGHTS), ignore_index=IGNORED
    )
    torch.testing.assert_close(loss(scores, label, ignore_index=IGNORED), expected)
    none = loss(scores, torch.full_like(label, IGNORED), ignore_index=IGNORED)
    assert none == 0 and none.requires_grad


@pytest.mark.parametrize('avg_non_ignore', [False, True])
@pytest.mark.parametrize('channels, weights', [(3, WEIGHTS), (1, [2.0]), (1, [0.5, 2])])
def test_class_weights_of_binary_cross_entropy(channels, weights, avg_non_ignore):
    scores, label = batch(channels, dtype=torch.float64)
    loss = CrossEntropyLoss(
        use_sigmoid=True, class_weight=weights, avg_non_ignore=avg_non_ignore
    )
    scored = label != IGNORED
    rows = scores.movedim(1, -1)[scored]
    labels = F.one_hot(label[scored], max(channels, 2))[:, -channels:].double()
    if len(weights) == channels:
        weight, positive = None, scores.new_tensor(weights)
    else:
        weight, positive = scores.new_tensor(weights)[label[scored]][:, None], None
    expected = F.binary_cross_entropy_with_logits(
        rows, labels, weight, pos_weight=positive, reduction='sum'
    )
    expected = expected / (labels.numel() if avg_non_ignore else scores.numel())
    found = loss(scores, label, ignore_index=IGNORED)
    torch.testing.assert_close(found, expected, check_dtype=False)


@pytest.mark.parametrize('channels, sigmoid', [(3, False), (3, True), (1, True)])
@pytest.mark.parametrize('thresh', [None, 0.7])
def test_heads_with_ohem_and_class_weights(channels, sigmoid, thresh):
    loss = dict(
        type='CrossEntropyLoss', use_sigmoid=sigmoid, class_weight=WEIGHTS[:channels]
    )
    options = dict(
        num_classes=max(channels, 2),
        out_channels=channels,
        sampler=dict(type='OHEMPixelSampler', min_kept=9, thresh=thresh),
    )
    head = MODELS.build(dict(HEAD, **options, loss_decode=loss))
    for ignored in (slice(0, 2), slice(None)):
        _, label = batch(channels, ignored)
        samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]
        value = head.loss([torch.randn(2, 3, 6, 6)], samples, {})['loss_ce']
        value.backward()
        assert value.isfinite() and (value > 0) == (ignored != slice(None))


@pytest.mark.parametrize('channels', [1, 3])
def test_focal_loss_equals_its_paper(channels):
    scores, label = batch(channels, dtype=torch.float64)
    loss = FocalLoss(gamma=2.0, alpha=0.25)(scores, label, ignore_index=IGNORED)
    scored = label != IGNORED
    chance = scores.movedim(1, -1)[scored].sigmoid()
    positive = F.one_hot(label[scored], max(channels, 2))[:, -channels:].bool()
    right = chance.where(positive, 1 - chance)
    alpha = torch.where(positive, 0.25, 0.75)
    expected = (-alpha * (1 - right) ** 2 * right.log()).sum() / scores.numel()
    torch.testing.assert_close(loss, expected)


LOSSES = {
    'softmax': CrossEntropyLoss(),
    'sigmoid': CrossEntropyLoss(use_sigmoid=True),
    'focal': FocalLoss(),
    'dice': DiceLoss(),
    'dice with softmax': DiceLoss(use_sigmoid=False, naive_dice=True),
    'lovasz': LovaszLoss(reduction='none'),
    'lovasz of each image': LovaszLoss(per_image=True),
    'tversky': TverskyLoss(),
    'hausdorff': HuasdorffDisstanceLoss(),
    'ohem': OhemCrossEntropy(),
}
BINARY_LOSSES = {
    'sigmoid': CrossEntropyLoss(use_sigmoid=True),
    'focal': FocalLoss(),
    'dice': DiceLoss(),
    'lovasz': LovaszLoss(loss_type='binary', reduction='none'),
}


@pytest.mark.parametrize(
    'loss, channels',
    [(loss, 3) for loss in LOSSES.values()]
    + [(loss, 1) for loss in BINARY_LOSSES.values()],
    ids=[*LOSSES, *(f'binary {name}' for name in BINARY_LOSSES)],
)
def test_ignored_pixels_have_no_gradient(loss, channels):
    for ignored in (slice(0, 2), slice(None)):
        scores, label = batch(channels, ignored)
        value = loss(scores, label, weight=None, ignore_index=IGNORED)
        value.backward()
        gradient = scores.grad.movedim(1, -1)
        assert value.ndim == 0 and value.isfinite() and gradient.isfinite().all()
        assert not gradient[label == IGNORED].any()
        assert gradient.any() == (label != IGNORED).any()


def test_dice_loss_of_one_channel_equals_that_of_the_foreground():
    label = batch(1)[1]
    perfect = torch.where(label == 1, 50.0, -50.0).unsqueeze(1)
    assert DiceLoss()(perfect, label) < 1e-3
    assert DiceLoss()(-perfect, label) > 0.9


def test_lovasz_loss_of_a_single_pixel():
    scores, label = batch()
    label[:] = IGNORED
    label[0, 0, 0] = 1
    loss = LovaszLoss(reduction='none')(scores, label, ignore_index=IGNORED)
    torch.testing.assert_close(loss, 1 - scores.softmax(1)[0, 1, 0, 0])


def test_ohem_with_confident_pixels_only():
    _, label = batch(ignored=slice(0, 0))
    scores = 100 * F.one_hot(label).movedim(-1, 1).float()
    assert OhemCrossEntropy()(scores, label) == 0
    assert OhemCrossEntropy()(scores * math.nan, label).isnan()
    with pytest.raises(ValueError, match='leave out sampler'):
        OhemCrossEntropy()(scores, label, weight=torch.ones(1))


def test_class_weights_of_hausdorff_loss():
    scores, label = batch()
    loss, first, second = (
        HuasdorffDisstanceLoss(class_weight=weights)(scores, label)
        for weights in (WEIGHTS, [0, 1, 0], [0, 0, 1])
    )
    torch.testing.assert_close(loss, 2 * first + 0.5 * second)
    plain = HuasdorffDisstanceLoss()(scores, label)
    torch.testing.assert_close(plain, first + second)


@pytest.mark.skipif(find_spec('nibabel') is not None, reason='nibabel is installed')
def test_missing_nibabel_is_reported():
    with pytest.raises(ImportError, match='pip install nibabel'):
        datafrombytes(b'', backend='nifti')


@pytest.mark.skipif(find_spec('mmdet') is not None, reason='mmdet is installed')
@pytest.mark.parametrize('head', ['MaskFormerHead', 'Mask2FormerHead'])
def test_missing_mmdet_is_reported(head):
    with pytest.raises(ImportError, match=f'{head} .*pip install mmdet'):
        MODELS.build(dict(type=head, in_channels=[4]))
