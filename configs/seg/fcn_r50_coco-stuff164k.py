# The baseline of glore_r50_coco-stuff164k.py: FCN, ResNet-50, on COCO-Stuff 164k:
# 512×512, 80k iterations with 4 images per GPU. This is the shortest of
# mmsegmentation's recipes for other networks on COCO-Stuff 164k.
_base_ = [
    '../_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/coco_stuff164k.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=171),
    auxiliary_head=dict(num_classes=171),
)
auto_scale_lr = dict(base_batch_size=16)
