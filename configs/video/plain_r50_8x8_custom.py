# The 3D ResNet-50 of the release on clips of your own. Give a converted Kinetics
# checkpoint as load_from: a training from scratch needs many clips.
#
#   python tools/train.py configs/video/plain_r50_8x8_custom.py \
#       --cfg-options data_root=/data/gestures load_from=r50_kinetics400.pth
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/video_folders.py',
    '../_base_/schedules/finetune_30e.py',
    '../_base_/video_runtime.py',
]

# num_classes=None: the number of classes of the data set
model = dict(cls_head=dict(num_classes=None, topk=(1,)))
optim_wrapper = dict(optimizer=dict(lr=0.00125))  # 8 clips on one GPU
auto_scale_lr = dict(base_batch_size=8)
