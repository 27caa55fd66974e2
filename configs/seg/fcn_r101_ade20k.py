# The baseline of glore_r101_ade20k.py: FCN, ResNet-101, on ADE20K: 512×512, 80k
# iterations with 4 images per GPU. mmsegmentation reports 39.61 mIoU on ADE20K val for
# its FCN R101-D8 of this recipe with concat_input=True.
_base_ = [
    '../_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
)
auto_scale_lr = dict(base_batch_size=16)
