"""Pages of HTML that hold all they need and ask no network for more.

Charts are drawn by Chart.js (https://www.chartjs.org, MIT), which lies in `vendor/` and
is written into each page that has any.
"""

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

_VENDOR = Path(__file__).parent / 'vendor'


def render(template: str, **values: object) -> str:
    """Fill in a template of `templates/`.

    Args:
        template (str): Its name; it extends base.html.
        values (object): What it shows; text is escaped.

    Returns:
        str: The page.
    """
    environment = Environment(
        loader=PackageLoader('glore_mm.visualization'),
        autoescape=True,
        undefined=StrictUndefined,
    )
    # a browser's tools would look for the source map beside the page
    chart_js = (_VENDOR / 'chart.umd.min.js').read_text().partition('//# source')[0]
    return environment.get_template(template).render(values, chart_js=chart_js)


def data_uri(picture: Image.Image, quality: int | None = None) -> str:
    """A picture as an address that holds it.

    Args:
        picture (Image.Image): RGB.
        quality (int, optional): Of a JPEG, up to 95. Default: None, a PNG.
    """
    kind = 'PNG' if quality is None else 'JPEG'
    file = io.BytesIO()
    picture.save(file, kind, **({} if quality is None else dict(quality=quality)))
    return f'data:image/{kind.lower()};base64,{_base64(file.getvalue())}'


def quantize_int8(values: np.ndarray) -> tuple[str, list[float]]:
    """Signed numbers in a byte each, a row at a time.

    Args:
        values (np.ndarray): Float (rows, *).

    Returns:
        tuple[str, list[float]]: int8 from −127 to 127 in base64, and the limit of each
        row, which stands for 127.
    """
    limits = np.abs(values).reshape(len(values), -1).max(axis=1)
    scale = 127 / np.where(limits > 0, limits, 1)
    scale = scale.reshape(-1, *[1] * (values.ndim - 1))
    return _base64(np.rint(values * scale).astype(np.int8).tobytes()), limits.tolist()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
