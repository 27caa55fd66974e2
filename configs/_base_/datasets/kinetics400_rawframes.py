# Kinetics-400 as folders of JPEG frames, from img_00001.jpg on.
_base_ = './kinetics400.py'

train_pipeline = _base_.train_pipeline[1:]  # without VideoInit
train_pipeline[1] = dict(type='RawFramesDecode')
val_pipeline = _base_.val_pipeline[1:]
val_pipeline[1] = dict(type='RawFramesDecode')
train_dataloader = dict(
    dataset=dict(
        type='KineticsFrames',
        ann_file='kinetics400_train_list_rawframes.txt',
        data_prefix=dict(_delete_=True, img='rawframes_train'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type='KineticsFrames',
        ann_file='kinetics400_val_list_rawframes.txt',
        data_prefix=dict(_delete_=True, img='rawframes_val'),
        pipeline=val_pipeline,
    )
)
test_dataloader = val_dataloader
