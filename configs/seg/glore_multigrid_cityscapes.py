# The last stage with multi-grid: dilations 4, 8, 16, as in the code that the release's
# Cityscapes networks stand on.
_base_ = './glore_cityscapes.py'

# in mmsegmentation the grid is the dilations themselves
model = dict(backbone=dict(multi_grid=(4, 8, 16)))
