# The released R50 3D (2, 3): 68.0 clip top-1 on Kinetics-400. Training starts from 2D
# weights; docs/kinetics.md shows how to convert them and give them as load_from.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]
