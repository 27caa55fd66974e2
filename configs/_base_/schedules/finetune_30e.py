# Fine-tuning of a Kinetics network on a small data set, 64 clips per step. As in the
# release's code, the classifier has twice the learning rate. The release does not
# publish the number of epochs and the learning rates; those here are our own.
_base_ = './kinetics400_release.py'

optim_wrapper = dict(
    optimizer=dict(lr=0.01),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            'backbone': dict(lr_mult=0.5),
            '.bias': dict(decay_mult=0.0),
        },
    ),
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[15, 25], gamma=0.1, by_epoch=True)
]
train_cfg = dict(max_epochs=30)
