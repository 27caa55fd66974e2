# A narrow FCN on ResNet-18 up to Res4, output stride 8, for strips of 64×640. Its
# receptive field is about 200 pixels along the strip.
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[150.0, 150.0, 150.0],
        std=[60.0, 60.0, 60.0],
        bgr_to_rgb=True,
        size=(64, 640),
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=3,
        out_indices=(2,),
        strides=(1, 2, 1),
        dilations=(1, 1, 1),
        stem_channels=16,
        base_channels=16,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=64,
        in_index=0,
        channels=32,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=4,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
