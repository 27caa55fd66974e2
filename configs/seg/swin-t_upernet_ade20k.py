# UPerNet on Swin-T with mmsegmentation's recipe. mmsegmentation reports 44.41 mIoU on
# ADE20K val.
_base_ = (
    'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
)

custom_imports = dict(imports=['glore_mm.seg'])
