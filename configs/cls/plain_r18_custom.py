# mmpretrain's ResNet-18 on images of your own, trained from scratch, or from a
# checkpoint with load_from=….
#
#   python tools/train.py configs/cls/plain_r18_custom.py \
#       --cfg-options data_root=/data/pets
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/class_folders.py',
    '../_base_/schedules/imagenet_95e.py',
    '../_base_/cls_runtime.py',
]

# num_classes=None: the number of classes of the data set
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18),
    head=dict(in_channels=512, num_classes=None, topk=(1,)),
)
# 32 images on one GPU or CPU
optim_wrapper = dict(optimizer=dict(lr=0.0125))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=30, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=30)
default_hooks = dict(logger=dict(interval=20))
auto_scale_lr = dict(base_batch_size=32)
