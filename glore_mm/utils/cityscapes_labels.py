"""Label ids and train ids of Cityscapes.

Label ids are the values in `*_labelIds.png`; the benchmark server takes them. Train ids
are the values in `*_labelTrainIds.png`; they number the 19 scored classes in the order
below. Source: helpers/labels.py of https://github.com/mcordts/cityscapesScripts
"""

import numpy as np

LABEL_IDS = {
    'road': 7,
    'sidewalk': 8,
    'building': 11,
    'wall': 12,
    'fence': 13,
    'pole': 17,
    'traffic light': 19,
    'traffic sign': 20,
    'vegetation': 21,
    'terrain': 22,
    'sky': 23,
    'person': 24,
    'rider': 25,
    'car': 26,
    'truck': 27,
    'bus': 28,
    'train': 31,
    'motorcycle': 32,
    'bicycle': 33,
}
VOID = 255  # train id of all labels that are not scored

#: Label id of each train id, uint8 (19,).
LABEL_ID_OF_TRAIN_ID = np.array(list(LABEL_IDS.values()), np.uint8)
#: Train id of each label id, uint8 (256,).
TRAIN_ID_OF_LABEL_ID = np.full(256, VOID, np.uint8)
TRAIN_ID_OF_LABEL_ID[LABEL_ID_OF_TRAIN_ID] = np.arange(len(LABEL_IDS))
