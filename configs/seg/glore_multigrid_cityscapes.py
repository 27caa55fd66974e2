# Multi-grid in the last stage: dilations 4, 8, 16, as in the code base of the release's
# Cityscapes networks.
_base_ = './glore_cityscapes.py'

# in mmsegmentation, multi_grid has the dilations themselves
model = dict(backbone=dict(multi_grid=(4, 8, 16)))
