# One unit on the stem's output, earlier than in the paper. With 16 nodes it costs 0.101
# GMACs.
_base_ = './glore_backbone_cityscapes.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=('input',))))
