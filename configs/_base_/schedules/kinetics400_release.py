# The recipe of the GloRe release, as far as its code shows it: 64 clips per node of 8
# GPUs.
#
# The same: optimizer, learning rate (0.05 as in its script for one node; its script for
# several nodes has 0.04), warm-up, milestones, weight decay. Milestones count units of
# 240,000 clips, about one pass over the training set. The code calls a quarter of this
# an epoch and validates after each. Unknown: the end of training (the code runs until
# it is stopped; here it ends 5 epochs after the last milestone) and the number of
# nodes. Different: precise BN, see
# configs/video/glore_r50_8x8_precisebn_kinetics400.py.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    # half the learning rate for the spatial convolutions; no weight decay of biases,
    # including those of norms
    paramwise_cfg=dict(
        custom_keys={
            'conv_m2.bn.bias': dict(lr_mult=0.5, decay_mult=0.0),
            'conv_m2': dict(lr_mult=0.5),
            '.bias': dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1500),
    dict(type='MultiStepLR', milestones=[45, 65, 85], gamma=0.1, by_epoch=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=64)
