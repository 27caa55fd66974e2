# glore_r18_custom.py for TIFF and NumPy images that are too large for memory: training
# reads random windows, inference runs in windows that share their nodes.
_base_ = './glore_r18_custom.py'

window = (512, 512)
load = dict(type='LoadBands', bands=3)
train_pipeline = [
    dict(load, window=window),
    dict(type='LoadSegLabels'),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='PackSegInputs'),
]
test_pipeline = [load, dict(type='LoadSegLabels'), dict(type='PackSegInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
del load
model = dict(
    data_preprocessor=dict(size=window, bgr_to_rgb=False),
    test_cfg=dict(
        _delete_=True, mode='global_slide', crop_size=(1024, 1024), stride=(896, 896)
    ),
)
