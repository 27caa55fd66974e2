# DeepLabV3+ on ResNet-50 with mmsegmentation's recipe. mmsegmentation reports 42.72
# mIoU on ADE20K val.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
auto_scale_lr = dict(base_batch_size=16)
