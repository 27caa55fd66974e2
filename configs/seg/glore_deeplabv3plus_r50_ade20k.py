# deeplabv3plus_r50_ade20k.py with one unit after the ASPP. It has the size of the
# unit in GloReHead.
_base_ = './deeplabv3plus_r50_ade20k.py'

model = dict(
    decode_head=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.decode_head,
        num_classes=150,
        unit=dict(
            num_states=128, num_nodes=64, normalize=True, norm_cfg=_base_.norm_cfg
        ),
        placement=['bottleneck'],
    )
)
