_base_ = './default_runtime.py'

custom_imports = dict(imports=['glore_mm.video'])
default_scope = 'mmaction'
visualizer = dict(type='ActionVisualizer')
log_processor = dict(by_epoch=True)
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=3, save_best='acc/top1'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)
custom_hooks = [dict(type='SkippedSamples')]  # says which clips training cannot use
