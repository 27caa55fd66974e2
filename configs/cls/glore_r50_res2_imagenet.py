# One unit on Res2, earlier than in the paper. With 64 nodes it costs 0.310 GMACs.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(placement=dict(_delete_=True, layer1=1)))
