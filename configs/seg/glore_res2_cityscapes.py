# An earlier level than the paper's: one unit on Res2. Its 64 nodes cost 1.616 GMACs.
_base_ = './glore_backbone_cityscapes.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
