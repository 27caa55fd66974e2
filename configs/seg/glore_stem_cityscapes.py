# An earlier level than the paper's: one unit on the stem's output. Its 16 nodes cost
# 0.101 GMACs.
_base_ = './glore_backbone_cityscapes.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=('input',))))
