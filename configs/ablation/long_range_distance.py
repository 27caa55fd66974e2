# long_range.py with cues that are farther away: for which level, number of nodes and
# module does a network still find them? The distance is that of the data set:
# python -m glore_mm.synthetic.long_range_strips data/far --distance 1000 --width 1240
_base_ = './long_range.py'

backbone, glore = _base_.backbone, _base_.glore
variants = {
    '_delete_': True,
    'plain': dict(),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_res4', glore, dict(layer3=1)),  # 16 nodes
            ('glore_res4_4-nodes', dict(glore, num_nodes=4), dict(layer3=1)),
            ('glore_res4_64-nodes', dict(glore, num_nodes=64), dict(layer3=1)),
            ('glore_res3', glore, dict(layer2=1)),
            ('non_local_res4', dict(type='NonLocal2d', reduction=2), dict(layer3=1)),
        )
    },
}
