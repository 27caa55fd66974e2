# glore_r50_8x8_kinetics400.py with precise BN: the running statistics of the norms are
# computed again after every epoch. Needs mmpretrain for the hook.
#
# The release does this differently: it runs 500 more steps after each quarter of a
# pass. 400 of them train the parameters of the norms and the biases, the last 100 are
# forward passes only, and the statistics are still running averages. The hook trains
# nothing and averages the statistics of as many batches.
_base_ = './glore_r50_8x8_kinetics400.py'

custom_imports = dict(imports=['glore_mm.video', 'mmpretrain.engine'])
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mmpretrain.PreciseBNHook',
        num_samples=500 * 64,
        priority='ABOVE_NORMAL',  # before the checkpoint is written
    ),
]
