_base_ = './default_runtime.py'

custom_imports = dict(imports=['glore_mm.seg'])
default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer')
tta_model = dict(type='SegTTAModel')
