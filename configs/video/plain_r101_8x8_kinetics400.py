_base_ = './plain_r50_8x8_kinetics400.py'

model = dict(backbone=dict(depth=101))
