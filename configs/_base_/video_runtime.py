_base_ = './epoch_runtime.py'

custom_imports = dict(imports=['glore_mm.video'])
default_scope = 'mmaction'
visualizer = dict(type='ActionVisualizer')
default_hooks = dict(
    checkpoint=dict(save_best='acc/top1'), sync_buffers=dict(type='SyncBuffersHook')
)
