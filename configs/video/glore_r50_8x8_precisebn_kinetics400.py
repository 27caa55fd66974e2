# With precise BN: the running statistics of the norms are measured anew after every
# epoch. Needs mmpretrain, whose hook it is.
#
# It differs from the release: there, 500 more steps follow each quarter of a pass; 400
# of them go on training the parameters of the norms and the biases, the last 100 only
# run forward, and the statistics stay running averages. The hook trains nothing and
# averages over the statistics of as many batches.
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
