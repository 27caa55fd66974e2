# The released R101 3D (2, 3): 69.2 clip top-1 on Kinetics-400.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(backbone=dict(backbone=dict(depth=101)))
