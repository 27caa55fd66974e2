_base_ = './nl_r50_8x8_kinetics400.py'

model = dict(backbone=dict(backbone=dict(depth=101)))
