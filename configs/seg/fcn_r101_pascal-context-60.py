# The baseline of glore_r101_pascal-context-60.py: fcn_r101_pascal-context.py with the
# background as a class. mmsegmentation reports 44.13 mIoU with concat_input=True.
_base_ = './fcn_r101_pascal-context.py'

model = dict(decode_head=dict(num_classes=60), auxiliary_head=dict(num_classes=60))
train_dataloader = dict(dataset=dict(type='PascalContext60'))
val_dataloader = dict(dataset=dict(type='PascalContext60'))
test_dataloader = val_dataloader
