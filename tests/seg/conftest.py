import pytest
from mmengine.registry import init_default_scope

import glore_mm.seg  # noqa: F401 – registers its data sets


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')
