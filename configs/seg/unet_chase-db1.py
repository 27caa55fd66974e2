# mmsegmentation's U-Net and recipe for CHASE_DB1: 128×128, 40k iterations with 4 images
# per GPU. mmsegmentation reports 89.46 mDice, and 80.24 Dice of the vessels.
_base_ = [
    'mmseg::_base_/models/fcn_unet_s5-d16.py',
    '../_base_/datasets/chase_db1.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    test_cfg=dict(crop_size=(128, 128), stride=(85, 85)),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=40000, by_epoch=False)
]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000, save_best='mDice'))
auto_scale_lr = dict(base_batch_size=16)
