"""Self-contained HTML pages that load nothing from a network.

Charts use Chart.js (https://www.chartjs.org, MIT). A copy is in `vendor/` and is
embedded in each page.
"""

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

_VENDOR = Path(__file__).parent / 'vendor'


def render(template: str, **values: object) -> str:
    """Render a template of `templates/`.

    Args:
        template (str): Name of the template, which extends base.html.
        values (object): Variables of the template; text is escaped.

    Returns:
        str: The page.
    """
    environment = Environment(
        loader=PackageLoader('glore_mm.visualization'),
        autoescape=True,
        undefined=StrictUndefined,
    )
    # without the comment that makes browser tools request the source map
    chart_js = (_VENDOR / 'chart.umd.min.js').read_text().partition('//# source')[0]
    return environment.get_template(template).render(values, chart_js=chart_js)


def data_uri(picture: Image.Image, quality: int | None = None) -> str:
    """Encode an image as a data URI.

    Args:
        picture (Image.Image): RGB.
        quality (int, optional): JPEG quality, up to 95. Default: None, a PNG.
    """
    kind = 'PNG' if quality is None else 'JPEG'
    file = io.BytesIO()
    picture.save(file, kind, **({} if quality is None else dict(quality=quality)))
    return f'data:image/{kind.lower()};base64,{_base64(file.getvalue())}'


def quantize_int8(values: np.ndarray) -> tuple[str, list[float]]:
    """Quantise each row of an array to int8.

    Args:
        values (np.ndarray): Float (rows, *).

    Returns:
        tuple[str, list[float]]: int8 values from −127 to 127 in base64, and the largest
        absolute value of each row, which 127 represents.
    """
    limits = np.abs(values).reshape(len(values), -1).max(axis=1)
    scale = 127 / np.where(limits > 0, limits, 1)
    scale = scale.reshape(-1, *[1] * (values.ndim - 1))
    return _base64(np.rint(values * scale).astype(np.int8).tobytes()), limits.tolist()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
