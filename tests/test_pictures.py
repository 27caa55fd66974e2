"""Text in pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from glore_mm.cls.pictures import with_scores
from glore_mm.pictures import caption, font_for


@pytest.mark.parametrize('text', ['piñata', 'Ἀθήνα', 'муравей'])
def test_letters_of_other_alphabets_are_drawn(text):
    """And not the box that stands for a letter that a font lacks."""

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
        caption(picture, 'nine letters')
        found = np.asarray(picture)
        assert (found[:8] != 255).any() and (found[40:] == 255).all()
        assert not found[4, -1].any()  # the bar goes to the edge


def test_scores_are_as_long_as_their_bars():
    classes = [dict(label='a' * 200, score=0.75), dict(label='b', score=0.25)]
    sheet = np.asarray(with_scores(Image.new('RGB', (400, 200), 'red'), classes))
    assert sheet.shape[1] == 400 and sheet.shape[0] > 220
    line = (sheet.shape[0] - 200) // 2
    for row, length in ((0, 300), (1, 100)):
        bar = sheet[200 + row * line + line - 3]  # below the letters
        blue = (bar == (170, 200, 235)).all(axis=-1)
        assert blue.sum() == pytest.approx(length, abs=2)
