# The baseline of glore_r50_loveda.py: FCN, ResNet-50, on LoveDA: 512×512, 80k
# iterations with 4 images per GPU, as mmsegmentation trains other networks on LoveDA.
_base_ = [
    '../_base_/models/fcn_r50-d8.py',
    '../_base_/datasets/loveda.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=7),
    auxiliary_head=dict(num_classes=7),
)
auto_scale_lr = dict(base_batch_size=16)
