# UPerNet on Swin-T: network and optimizer of mmsegmentation's recipe for ADE20K, with
# crops of 512×1024 and 80k iterations.
_base_ = [
    'mmseg::_base_/models/upernet_swin.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/adamw_80k.py',
]

checkpoint_file = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
    'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth'
)
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint_file)),
)
