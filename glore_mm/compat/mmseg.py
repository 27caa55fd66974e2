"""Patches of mmsegmentation 1.2.2. The comments give the line of each fault."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from glore_mm.compat.import_hook import after_import, patch_function

if TYPE_CHECKING:
    from torch import Tensor


# mmseg/models/segmentors/base.py:192 keeps the predictions of networks with one output
# channel in the type of the scores. Writing, drawing and metrics need integers, as from
# argmax. Needed until mmseg converts them.
@after_import('mmseg.models.segmentors.base')
def fix_float_predictions(base: Any) -> None:
    """Convert the predictions of one-channel networks to integers."""

    @patch_function(base.BaseSegmentor, 'postprocess_result')
    def wrapper(
        original: Any, self: Any, seg_logits: Tensor, data_samples: Any = None
    ) -> Any:
        samples = original(self, seg_logits, data_samples)
        for sample in samples:
            sample.pred_sem_seg.data = sample.pred_sem_seg.data.long()
        return samples


# mmseg/models/decode_heads/decode_head.py:336 takes the argmax over the channels, which
# is always class 0 for one channel: acc_seg is the share of background. Needed until
# mmseg applies the threshold.
@after_import('mmseg.models.decode_heads.decode_head')
def fix_accuracy_of_one_channel(decode_head: Any) -> None:
    """Compute the training accuracy of one-channel heads with their threshold."""
    import torch

    @patch_function(decode_head.BaseDecodeHead, 'loss_by_feat')
    def wrapper(
        original: Any, self: Any, seg_logits: Tensor, batch_data_samples: Any
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = original(self, seg_logits, batch_data_samples)
        if self.out_channels == 1:
            labels = self._stack_batch_gt(batch_data_samples)
            logits = decode_head.resize(
                seg_logits,
                labels.shape[2:],
                mode='bilinear',
                align_corners=self.align_corners,
            ).detach()
            limit = torch.logit(torch.tensor(self.threshold)).item()
            losses['acc_seg'] = decode_head.accuracy(
                torch.cat([torch.full_like(logits, limit), logits], 1),
                labels.squeeze(1),
                ignore_index=self.ignore_index,
            )
        return losses


# mmseg/models/segmentors/seg_tta.py:34 applies sigmoid to the scores of a one-channel
# network a second time, after base.py:190, so all are above 0.5. Line 38 makes the
# predictions floats. Needed until mmseg averages the scores unchanged.
@after_import('mmseg.models.segmentors.seg_tta')
def fix_second_sigmoid(seg_tta: Any) -> None:
    """Let test-time augmentation of one-channel networks average their scores."""
    import torch

    @patch_function(seg_tta.SegTTAModel, 'merge_preds')
    def wrapper(original: Any, self: Any, data_samples_list: Any) -> Any:
        merged = original(self, data_samples_list)
        if self.module.out_channels == 1:
            for sample, views in zip(merged, data_samples_list, strict=True):
                scores = torch.stack([view.seg_logits.data for view in views]).mean(0)
                above = scores > self.module.decode_head.threshold
                sample.pred_sem_seg.data = above.long()
        return merged


# mmseg/models/segmentors/base.py:192 reads the threshold of the decode head, which is a
# list of heads in a CascadeEncoderDecoder. Needed until mmseg reads that of the last.
@after_import('mmseg.models.segmentors.cascade_encoder_decoder')
def fix_threshold_of_cascades(cascade_encoder_decoder: Any) -> None:
    """Set the threshold of the last head on the list of heads of a cascade."""

    @patch_function(cascade_encoder_decoder.CascadeEncoderDecoder, '_init_decode_head')
    def wrapper(original: Any, self: Any, decode_head: Any) -> None:
        original(self, decode_head)
        self.decode_head.threshold = self.decode_head[-1].threshold


# mmseg/models/losses/cross_entropy_loss.py:66 looks up a class weight for each pixel,
# also for pixels with the ignored label. Needed until mmseg leaves these out. (OneDL's
# 1.4.2 does so if avg_non_ignore is not set.)
@after_import('mmseg.models.losses.cross_entropy_loss')
def fix_class_weights_of_cross_entropy(cross_entropy_loss: Any) -> None:
    """Average weighted losses over the pixels not ignored, as PyTorch does."""

    @patch_function(cross_entropy_loss, 'cross_entropy')
    def wrapper(
        original: Any, pred: Tensor, label: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        weights, ignored = kwargs.get('class_weight'), kwargs.get('ignore_index', -100)
        means = kwargs.get('reduction', 'mean') == 'mean'
        means = means and kwargs.get('avg_factor') is None
        if weights is not None and means and ignored not in range(len(weights)):
            kwargs['avg_factor'] = weights[label[label != ignored]].sum()
        return original(pred, label, *args, **kwargs)


# mmseg/models/losses/cross_entropy_loss.py:139 takes the maximum of the labels, which
# fails if all pixels are ignored. Line 164 passes class weights to PyTorch in a shape
# that broadcasts over columns of pixels. Needed until mmseg fixes both.
@after_import('mmseg.models.losses.cross_entropy_loss')
def fix_binary_cross_entropy(cross_entropy_loss: Any) -> None:
    """Let binary cross-entropy take class weights, and labels that are all ignored.

    Networks with one output channel may have two weights, of background and foreground.
    """

    @patch_function(cross_entropy_loss, 'binary_cross_entropy')
    def wrapper(
        original: Any,
        pred: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        class_weight: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        one_channel = pred.size(1) == 1
        if one_channel and not (label != kwargs.get('ignore_index', -100)).any():
            nothing = 0 * pred.squeeze(1)
            return nothing if kwargs.get('reduction') == 'none' else nothing.sum()
        if class_weight is not None and one_channel and len(class_weight) == 2:
            by_label = class_weight[label.clamp(0, 1)]
            weight = by_label if weight is None else by_label * weight
            class_weight = None
        elif class_weight is not None:
            class_weight = class_weight.view(-1, *[1] * (pred.dim() - 2))
        return original(pred, label, weight, class_weight=class_weight, **kwargs)


# mmseg/models/losses/focal_loss.py:293 uses one column of the one-hot labels, which is
# empty, instead of all columns up to it. Needed until mmseg uses the columns. On a GPU
# it calls an operator that mmcv-lite lacks.
@after_import('mmseg.models.losses.focal_loss')
def fix_focal_loss_without_operator(focal_loss: Any) -> None:
    """Let FocalLoss train on a CPU, and on a GPU without compiled operators."""
    compiled = find_spec('mmcv._ext') is not None

    @patch_function(focal_loss.FocalLoss, 'forward')
    def wrapper(
        original: Any,
        self: Any,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if pred.shape != target.shape and not (compiled and pred.is_cuda):
            ignored = kwargs.get('ignore_index', 255)
            target, scored = _one_hot(pred, target, ignored)
            weight = (scored if weight is None else scored * weight).reshape(-1, 1)
        return original(self, pred, target, weight, **kwargs)

    if not compiled:
        by_python = focal_loss.py_sigmoid_focal_loss
        focal_loss.sigmoid_focal_loss = lambda pred, label, one_hot, *args, **kwargs: (
            by_python(pred, one_hot, None, *args, **kwargs)
        )


# mmseg/models/losses/dice_loss.py:28 trains one-channel networks to predict the
# background, and counts predictions at ignored pixels as wrong. Needed until mmseg uses
# the second of the two one-hot columns, and leaves ignored pixels out.
@after_import('mmseg.models.losses.dice_loss')
def fix_labels_of_dice_loss(dice_loss: Any) -> None:
    """Train one-channel networks on the foreground, and leave out ignored pixels."""

    @patch_function(dice_loss.DiceLoss, 'forward')
    def wrapper(
        original: Any,
        self: Any,
        pred: Tensor,
        target: Tensor,
        *args: Any,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        if pred.shape != target.shape:
            target, scored = _one_hot(pred, target, ignore_index)
            if self.activate and self.use_sigmoid:
                pred = pred.sigmoid()
            elif self.activate and pred.size(1) > 1:
                pred = pred.softmax(1)
            pred = pred * scored.unsqueeze(1)
            self = copy.copy(self)
            self.activate = False
        return original(self, pred, target, *args, **kwargs)


# mmseg/models/losses/lovasz_loss.py:147 returns an empty tensor, whose mean is nan, if
# all pixels are ignored. Line 55 drops a dimension if all but one are. Needed until
# mmseg returns the sum of the empty tensor, and keeps the dimension.
@after_import('mmseg.models.losses.lovasz_loss')
def fix_lovasz_loss_of_few_pixels(lovasz_loss: Any) -> None:
    """Let LovaszLoss take labels with one pixel, or none, that is not ignored."""
    import torch

    @patch_function(lovasz_loss, 'flatten_probs')
    def flatten(original: Any, probs: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        scored, labels = original(probs, *args)
        return torch.atleast_2d(scored), labels

    @patch_function(lovasz_loss, 'lovasz_softmax_flat')
    def by_class(original: Any, probs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not probs.numel():
            return probs.sum()
        return original(probs, *args, **kwargs)


# mmseg/models/losses/ohem_cross_entropy_loss.py:85 returns a constant, which has no
# gradient, if all pixels are ignored. Line 90 returns nan, the mean of an empty tensor,
# if all pixels are equally hard. Line 45 lacks arguments that decode heads pass to each
# loss. Needed until mmseg returns 0 in both cases, and takes these arguments.
@after_import('mmseg.models.losses.ohem_cross_entropy_loss')
def fix_ohem_cross_entropy(ohem: Any) -> None:
    """Make the loss 0 if no pixels are left, and let any head use it.

    The loss of scores that are nan stays nan.
    """

    @patch_function(ohem.OhemCrossEntropy, 'forward')
    def wrapper(
        original: Any,
        self: Any,
        score: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        if weight is not None:
            raise ValueError(
                'OhemCrossEntropy selects the pixels itself: leave out sampler'
            )
        if ignore_index is not None:
            target = target.masked_fill(target == ignore_index, self.ignore_label)
        loss = original(self, score, target)
        return (0 * score).sum() + loss.nan_to_num(posinf=float('inf'))


# mmseg/structures/sampler/ohem_pixel_sampler.py:51 applies softmax to one channel. Line
# 80 expects one loss per pixel, but sigmoid losses have one per pixel and class. Needed
# until mmseg applies sigmoid to one channel, and sums over the classes.
@after_import('mmseg.structures.sampler.ohem_pixel_sampler')
def fix_ohem_with_sigmoid(ohem_pixel_sampler: Any) -> None:
    """Let OHEMPixelSampler select pixels by sigmoid losses."""
    import torch

    @patch_function(ohem_pixel_sampler.OHEMPixelSampler, 'sample')
    def wrapper(
        original: Any, self: Any, seg_logit: Tensor, seg_label: Tensor
    ) -> Tensor:
        if self.thresh is None:
            losses = self.context.loss_decode
            losses = losses if isinstance(losses, torch.nn.ModuleList) else [losses]

            def pixel_losses(*args: Any, **kwargs: Any) -> Tensor:
                found = [loss(*args, **kwargs) for loss in losses]
                return sum(each.sum(1) if each.dim() > 3 else each for each in found)

            self = copy.copy(self)
            self.context = SimpleNamespace(
                ignore_index=self.context.ignore_index, loss_decode=pixel_losses
            )
        elif seg_logit.size(1) == 1:  # to logits of background and foreground
            seg_logit = torch.cat([torch.zeros_like(seg_logit), seg_logit], 1)
        return original(self, seg_logit, seg_label)


# mmseg/models/losses/huasdorff_distance_loss.py:61 compares the number of dimensions of
# the class weights, not their number, with the number of classes. Line 138 counts
# ignored pixels as background. Needed until mmseg fixes both.
@after_import('mmseg.models.losses.huasdorff_distance_loss')
def fix_hausdorff_loss(hausdorff: Any) -> None:
    """Let HuasdorffDisstanceLoss take class weights, and leave out ignored pixels."""

    @patch_function(hausdorff, 'hd_loss')
    def weighted(
        original: Any,
        *args: Any,
        seg_dtm: Tensor,
        gt_dtm: Tensor,
        class_weight: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if class_weight is not None:  # weights of squared distances
            assert len(class_weight) == seg_dtm.size(1), 'not one weight for each class'
            scale = class_weight.sqrt().view(-1, 1, 1)
            seg_dtm, gt_dtm = scale * seg_dtm, scale * gt_dtm
        return original(*args, seg_dtm=seg_dtm, gt_dtm=gt_dtm, **kwargs)

    @patch_function(hausdorff.HuasdorffDisstanceLoss, 'forward')
    def wrapper(
        original: Any,
        self: Any,
        pred: Tensor,
        target: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        scored = (target != self.ignore_index).unsqueeze(1)
        return original(
            self, pred.where(scored, pred.detach()), target, *args, **kwargs
        )


# mmseg/utils/io.py:30 prints that nibabel is missing, and then uses it all the same.
# Needed until mmseg raises the error.
@after_import('mmseg.utils.io')
def fix_missing_nibabel(io: Any) -> None:
    """Raise an error that names the package that reads NIfTI files."""

    @patch_function(io, 'datafrombytes')
    def wrapper(original: Any, content: bytes, backend: str = 'numpy') -> Any:
        if backend == 'nifti' and not find_spec('nibabel'):
            raise ImportError('NIfTI files need nibabel: pip install nibabel')
        return original(content, backend)


# mmseg/apis/mmseg_inferencer.py:369 replaces LoadImageFromFile by its own loader, and
# no other transform. Needed until mmseg replaces others.
@after_import('mmseg.apis.mmseg_inferencer')
def fix_inferencer_with_other_loaders(inferencer: Any) -> None:
    """Let MMSegInferencer take pipelines that start with LoadImage."""

    @patch_function(inferencer.MMSegInferencer, '_get_transform_idx')
    def wrapper(original: Any, self: Any, pipeline_cfg: Any, name: str) -> int:
        index: int = original(self, pipeline_cfg, name)
        if index == -1 and name == 'LoadImageFromFile':
            return original(self, pipeline_cfg, 'LoadImage')
        return index


# mmseg/models/decode_heads/mask2former_head.py:13 and maskformer_head.py:12 ignore that
# mmdet is missing, and fail at the first argument. Needed until mmseg names the cause.
@after_import(
    'mmseg.models.decode_heads.mask2former_head',
    'mmseg.models.decode_heads.maskformer_head',
)
def fix_missing_mmdet(module: Any) -> None:
    """Raise an error that names the package that these heads need."""
    if find_spec('mmdet'):
        return

    def init(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImportError(f'{type(self).__name__} needs mmdet: pip install mmdet')

    for name in ('Mask2FormerHead', 'MaskFormerHead'):
        if hasattr(module, name):
            getattr(module, name).__init__ = init


def _one_hot(pred: Tensor, label: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """Convert labels to one-hot labels of the shape of the prediction.

    Args:
        pred: Scores, of shape (N, C, ...).
        label: Indices of classes, of shape (N, ...). With a single channel, that of the
            foreground, 0 and 1.
        ignored: The label of pixels to leave out.

    Returns:
        tuple: One-hot labels, of shape (N, C, ...), 0 at ignored pixels; and a mask of
            the pixels that are not ignored, of shape (N, ...).
    """
    from torch.nn.functional import one_hot

    scored = label != ignored
    classes = one_hot(label.where(scored, 0), max(pred.size(1), 2)).movedim(-1, 1)
    return classes[:, -pred.size(1) :] * scored.unsqueeze(1), scored


# mmseg/models/utils/wrappers.py:47 converts the size of the upsampled map to integers,
# which an exporter records as constants: an exported U-Net takes images of one size.
# Needed until mmseg multiplies the sizes without int().
@after_import('mmseg.models.utils.wrappers')
def fix_constant_sizes_of_upsampling(wrappers: Any) -> None:
    """Let networks with mmseg's Upsample, such as U-Net, be exported."""

    @patch_function(wrappers.Upsample, 'forward')
    def wrapper(original: Any, self: Any, x: Tensor) -> Tensor:
        factor = self.scale_factor
        if self.size or not isinstance(factor, float) or not factor.is_integer():
            upsampled: Tensor = original(self, x)
            return upsampled
        sizes = [size * int(factor) for size in x.shape[-2:]]
        resized: Tensor = wrappers.resize(x, sizes, None, self.mode, self.align_corners)
        return resized


# mmseg/models/segmentors/encoder_decoder.py:331 knows the modes 'slide' and 'whole'.
@after_import('mmseg.models.segmentors.encoder_decoder')
def add_global_slide(encoder_decoder: Any) -> None:
    """Add the mode of glore_mm.models.global_slide to `test_cfg`."""

    @patch_function(encoder_decoder.EncoderDecoder, 'inference')
    def wrapper(
        original: Any, self: Any, inputs: Tensor, batch_img_metas: Any
    ) -> Tensor:
        if self.test_cfg.get('mode') != 'global_slide':
            logits: Tensor = original(self, inputs, batch_img_metas)
            return logits
        from glore_mm.models.global_slide import global_slide_inference

        return global_slide_inference(self, inputs, batch_img_metas)
