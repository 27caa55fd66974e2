# One unit on Res2, earlier than in the paper. With 64 nodes it costs 1.616 GMACs.
_base_ = './glore_backbone_cityscapes.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
