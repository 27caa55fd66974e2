# UPerNet on ConvNeXt-T with mmsegmentation's recipe. mmsegmentation reports 46.11 mIoU
# on ADE20K val, in mixed precision (--amp). Needs mmpretrain.
_base_ = 'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py'

custom_imports = dict(imports=['glore_mm.seg', 'mmpretrain.models'])
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
    paramwise_cfg=_base_.optim_wrapper.paramwise_cfg,
    constructor=_base_.optim_wrapper.constructor,
)
