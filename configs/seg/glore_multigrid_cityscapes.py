# The last stage with multi-grid, as the release has it. Its grid is not public; this is
# the one of DeepLabV3 (arXiv 1706.05587).
_base_ = './glore_cityscapes.py'

model = dict(backbone=dict(multi_grid=(1, 2, 4)))
