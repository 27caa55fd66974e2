# glore_r50_8x8_kinetics400.py with folders of JPEG frames instead of video files.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400_rawframes.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]
