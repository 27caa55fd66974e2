"""Text in images, and writing images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image, ImageDraw

from glore_mm.cls.visualization import draw_scores
from glore_mm.utils.errors import UserError
from glore_mm.visualization.drawing import (
    draw_caption,
    font_for,
    prediction_text,
    save_image,
)


@pytest.mark.parametrize('text', ['piñata', 'Ἀθήνα', 'муравей'])
def test_letters_of_other_scripts_are_drawn(text):
    """And not the box for missing letters of a font."""

    def drawn(letter):
        image = Image.new('L', (40, 40))
        ImageDraw.Draw(image).text((4, 4), letter, fill=255, font=font_for(text, 24))
        return np.asarray(image)

    box = drawn('\U0010ffff')
    for letter in text:
        assert drawn(letter).any() and (drawn(letter) != box).any()


def test_a_caption_fits():
    for width in (60, 400):
        picture = Image.new('RGB', (width, 200), 'white')
        draw_caption(picture, 'nine letters')
        found = np.asarray(picture)
        assert (found[:8] != 255).any() and (found[40:] == 255).all()
        assert not found[4, -1].any()  # the bar extends to the edge


def test_bars_have_the_lengths_of_their_scores():
    classes = [dict(label='a' * 200, score=0.75), dict(label='b', score=0.25)]
    sheet = np.asarray(draw_scores(Image.new('RGB', (400, 200), 'red'), classes))
    assert sheet.shape[1] == 400 and sheet.shape[0] > 220
    line = (sheet.shape[0] - 200) // 2
    for row, length in ((0, 300), (1, 100)):
        bar = sheet[200 + row * line + line - 3]  # below the letters
        blue = (bar == (170, 200, 235)).all(axis=-1)
        assert blue.sum() == pytest.approx(length, abs=2)


def test_an_image_is_written_atomically(tmp_path, monkeypatch):
    picture = Image.new('RGB', (4, 4), 'red')
    save_image(picture, tmp_path / 'folder' / 'a.png')
    assert Image.open(tmp_path / 'folder' / 'a.png').size == (4, 4)
    with pytest.raises(UserError, match='a.png/b.png cannot be written: '):
        save_image(picture, tmp_path / 'folder' / 'a.png' / 'b.png')

    def full(picture, path, kind):
        Path(path).write_bytes(b'a part')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Image.Image, 'save', full)
    with pytest.raises(UserError, match='c.png cannot be written: No space left on'):
        save_image(picture, tmp_path / 'folder' / 'c.png')
    assert [path.name for path in (tmp_path / 'folder').iterdir()] == ['a.png']


def test_prediction_text():
    classes = ('cat', 'dog', 'owl')
    for found, truth, text in (
        (1, 1, 'dog – right'),
        (1, 2, 'dog – wrong: it is owl'),
        ([0, 1], [0, 1], 'cat, dog – right'),
        ([0, 1], [1, 0], 'cat, dog – right'),
        ([0], [0, 2], 'cat – wrong: it is cat, owl'),
        ([], [2], 'nothing – wrong: it is owl'),
        (0, None, 'cat'),
    ):
        sample = BaseDataElement(pred_label=torch.tensor(found, dtype=torch.long))
        if truth is not None:
            sample.gt_label = torch.tensor(truth)
        assert prediction_text(sample, classes) == text
