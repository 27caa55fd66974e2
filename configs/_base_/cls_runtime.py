_base_ = './epoch_runtime.py'

custom_imports = dict(imports=['glore_mm.cls'])
default_scope = 'mmpretrain'
visualizer = dict(type='UniversalVisualizer')
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
tta_model = dict(type='AverageClsScoreTTA')
