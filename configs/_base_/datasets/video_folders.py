# Clips of your own, data/custom/{train,val}/<class>/*. The folders of train are the
# classes. To use it: --cfg-options data_root=…
_base_ = './kinetics400.py'

data_root = 'data/custom'
train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for pipeline in (train_pipeline, val_pipeline):  # short clips restart
    pipeline[1].update(out_of_bound_opt='loop')  # StrictSampleFrames
folders = dict(
    _delete_=True,
    type='VideoFolders',
    data_root=data_root,
    classes=None,
    val_share=None,  # 0.2: split the class folders data/custom/<class>/* at random
    split_seed=0,
)
train_dataloader = dict(
    num_workers=2,
    dataset=dict(folders, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(folders, split='val', pipeline=val_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
del folders, pipeline
val_evaluator = dict(metric_options=dict(top_k_accuracy=dict(topk=(1,))))
test_evaluator = val_evaluator
