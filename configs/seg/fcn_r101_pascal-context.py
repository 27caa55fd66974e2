# The baseline of glore_r101_pascal-context.py: FCN, ResNet-101, on the 59 classes of
# Pascal Context: 480×480, 80k iterations with 4 images per GPU. mmsegmentation reports
# 49.35 mIoU for its FCN R101-D8 of this recipe with concat_input=True.
_base_ = [
    '../_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/pascal_context_59.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(480, 480)),
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(num_classes=59),
    auxiliary_head=dict(num_classes=59),
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)),
)
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=0.0001))
auto_scale_lr = dict(base_batch_size=16)
