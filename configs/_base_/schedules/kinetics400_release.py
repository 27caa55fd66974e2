# The recipe of the GloRe release, as far as its code tells: 64 clips a node of 8 GPUs.
#
# Known and the same: optimizer, learning rate (0.05 in its script for one node; 0.04 in
# that for several), warm-up, steps, weight decay. Steps count 240,000 clips, about one
# pass over the training set; what its code calls an epoch, after which it validates, is
# a quarter of that. Not known: when to stop (its code runs until it is stopped; here, 5
# epochs after the last step) and how many nodes were used. Different: precise BN, see
# configs/video/glore_r50_8x8_precisebn_kinetics400.py.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    # half the rate for the spatial convolutions; no decay of biases, those of norms too
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
