# The generated videos of `make demo-video` in data/mini_kinetics: clips of 8 frames
# with interval 4, resized so that a few layers cover the whole frame.
_base_ = './kinetics400.py'

data_root = 'data/mini_kinetics'
classes = 'label_map.txt'
small = dict(type='Resize', scale=(24, 24), keep_ratio=False, interpolation='area')
train_pipeline = [
    *_base_.train_pipeline[:3],  # VideoInit, StrictSampleFrames, VideoDecode
    small,
    dict(type='Flip', flip_ratio=0.5),
    *_base_.train_pipeline[-2:],  # FormatShape, PackActionInputs
]
train_pipeline[1].update(frame_interval=4)
val_pipeline = [*_base_.val_pipeline[:3], small, *_base_.val_pipeline[-2:]]
val_pipeline[1].update(frame_interval=4)
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(data_root=data_root, classes=classes, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(data_root=data_root, classes=classes, pipeline=val_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(topk=(1,))))
test_evaluator = val_evaluator
