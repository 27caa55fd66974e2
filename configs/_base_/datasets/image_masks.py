# A folder of images and a folder of masks: docs/own_data.md. The values above the
# pipelines can be given with --cfg-options and then apply to all splits.
_base_ = './cityscapes.py'

data_root = 'data/custom'
images = 'images'
masks = 'masks'
classes = None  # a,b,c or a file; default: classes.txt or the palette of the masks
binary = None  # 'softmax' or 'sigmoid': 0 is the background, all else the foreground
values = None  # values of the classes in the masks, such as 10,20,30
reduce_zero_label = False  # True: 0 is ignored, the classes are 1, 2, …
class_weights = None  # 'median_frequency'
val_share = 0.2  # of the images, where neither folders nor lists split them
split_seed = 0

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(1024, 512))  # RandomResize
train_pipeline[3].update(crop_size=(256, 256))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(1024, 512))  # Resize
dataset = dict(
    _delete_=True,
    type='ImageMaskFolders',
    data_root=data_root,
    images=images,
    masks=masks,
    img_suffix=None,
    seg_map_suffix=None,
    classes=classes,
    palette=None,
    binary=binary,
    values=values,
    reduce_zero_label=reduce_zero_label,
    val_share=val_share,
    split_seed=split_seed,
)
train_dataloader = dict(
    batch_size=4, dataset=dict(dataset, split='train', pipeline=train_pipeline)
)
val_dataloader = dict(
    num_workers=2, dataset=dict(dataset, split='val', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
del dataset
