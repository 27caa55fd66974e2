# mmdetection's RetinaNet, with its recipe of 8 × 2 images. mmdetection reports a box
# AP of 36.5.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
