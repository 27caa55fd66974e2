# The 3D ResNet-50 of the GloRe release, without units.
model = dict(
    type='Recognizer3D',
    backbone=dict(type='PreActResNet3d', depth=50),
    cls_head=dict(
        type='I3DHead',
        num_classes=400,
        in_channels=2048,
        dropout_ratio=0.5,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[124, 117, 104],
        std=[59.88, 59.88, 59.88],  # 1 / 0.0167
        format_shape='NCTHW',
    ),
)
