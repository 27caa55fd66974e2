"""A page in the browser: drop a file, see its prediction and the nodes of the units."""

import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from glore_mm.apis.infer import load_predictor
from glore_mm.apis.tasks import get_task
from glore_mm.apis.visualize import predict_whole_images, units_to_view, view_nodes
from glore_mm.utils.errors import UserError, error_summary, summarize_list
from glore_mm.utils.images import read_image
from glore_mm.utils.videos import sample_frames
from glore_mm.visualization.drawing import index_image
from glore_mm.visualization.html import data_uri
from glore_mm.visualization.node_page import node_page

_SIDE = 1280  # pixels of the longer side of an image on the page, at most
_HEIGHT = 480  # pixels of the screen that an image takes, at most
_FRAMES = 8  # of a clip on the page
_TOP_K = 5  # classes of a classifier on the page
_LOOPBACK = ('127.0.0.1', 'localhost')
#: What the browser may load: from the server and from the page itself, nothing else.
_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important;
  margin: 0 auto !important; }
.glore h1 { margin: 0; font-size: 1.5rem; }
.glore p { margin: 4px 0; max-width: 75ch; }
.glore .steps { list-style: decimal; margin: 8px 0; padding-left: 1.6em; }
.glore h2 { margin: 0 0 8px; font-size: 1.25rem; }
.glore .note { max-width: none; overflow-wrap: anywhere; font-size: 0.9em; }
.glore .alert { border-left: 4px solid #c0392b; padding: 8px 12px;
  overflow-wrap: anywhere; background: var(--background-fill-secondary); }
.glore .prediction { display: grid; gap: 20px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); }
.glore figure { margin: 0; }
.glore .layers { position: relative; }
.glore .layers img { display: block; width: 100%; }
.glore .layers img + img { position: absolute; inset: 0; height: 100%; opacity: 0.5;
  image-rendering: pixelated; }
.glore figcaption { display: flex; gap: 8px; align-items: center; }
.glore figcaption input { flex: 1; }
.glore .frames { display: grid; gap: 4px; grid-template-columns: repeat(4, 1fr); }
.glore .frames img { width: 100%; }
.glore .classes { list-style: none; margin: 0; padding: 0; }
.glore .classes li { display: grid; gap: 2px 8px; padding: 3px 0; align-items: center;
  grid-template-columns: max-content 1fr max-content; }
.glore .color { width: 1.1em; height: 1.1em; border: 1px solid #888; }
.glore .label { overflow-wrap: anywhere; grid-column: 2; }
.glore .bar { grid-column: 2 / 4; height: 5px; background: #2c6fbb; }
.glore iframe { width: 100%; height: 900px; background: #fff; color-scheme: light;
  border: 1px solid var(--border-color-primary); }
"""
# The page of nodes is as high as its content, so that only the outer page scrolls.
_FIT = (
    'const root = this.contentDocument.documentElement; '
    "const fit = () => this.style.height = root.offsetHeight + 2 + 'px'; "
    'new ResizeObserver(fit).observe(root)'
)
# The slider below an overlay sets the opacity of its upper image.
_FADE = "this.closest('figure').querySelector('img + img').style.opacity = this.value"


class BrowserDemo:
    """A network that answers what a page asks, one input at a time.

    Attributes:
        name (str): Of the config.
        source (str): A line on config and checkpoint.
        about (str): A sentence on what the network does.
        units (list[str]): The paths of the units whose nodes are shown.
        takes_videos (bool): Whether an input is a video, not an image.

    Args:
        cfg (Config): From `load_config`. A segmentor is set to predict whole images.
        checkpoint (str): File with the weights.

    Raises:
        UserError: The checkpoint is of another network, or the config cannot predict
            single files.
    """

    def __init__(self, cfg: Config, checkpoint: str) -> None:
        predict_whole_images(cfg)
        self._predictor = load_predictor(cfg, checkpoint)
        self._lock = threading.Lock()
        self.name = Path(cfg.filename).stem
        self.source = f'config {cfg.filename} | checkpoint {checkpoint}'
        self.units = units_to_view(self._predictor.model)
        self.takes_videos = self._predictor.takes_videos
        self._suffixes = get_task(cfg).input_suffixes
        self.about = self._describe()

    def _describe(self) -> str:
        classes, count = self._predictor.classes, len(self.units)
        does = 'classifies images'
        if self.takes_videos:
            does = 'classifies videos'
        elif len(self._predictor.palette):
            does = 'assigns a class to each pixel of an image'
        units = f'{count or "no"} GloRe unit{"" if count == 1 else "s"}'
        return (
            f'This network {does}: {len(classes)} classes ('
            f'{summarize_list(classes, 6)}). It has {units}.'
        )

    def answer(self, path: str) -> tuple[str, str]:
        """Predict a file.

        Args:
            path (str): An image, or a video where the network takes videos.

        Returns:
            tuple[str, str]: HTML of the prediction and of the nodes. For a file that
            cannot be predicted the message in the place of the prediction, and no
            nodes.
        """
        try:
            with self._lock:
                return self._answer(path)
        except UserError as error:
            problem = error_summary(error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)  # for a report: this is a fault
            problem = f'the network failed on this input: {error_summary(error)}'
        problem = problem.replace(path, Path(path).name)  # the folder is temporary
        return f'<p class="alert" role="alert">{escape(problem)}</p>', ''

    def _answer(self, path: str) -> tuple[str, str]:
        predictor, name = self._predictor, Path(path).name
        # the decoder of videos reads an image, too, as a video of one frame
        if self.takes_videos and not name.lower().endswith(self._suffixes):
            endings = ', '.join(self._suffixes)
            raise UserError(f'{name} is no video: none of the endings {endings}')
        if not self.units:
            return self._prediction(path, predictor.predict(path)), _WITHOUT_UNITS
        seen, views = view_nodes(predictor, [path], self.units)
        (result,) = seen.result
        best = predictor.topk(result, 3)
        about = ', '.join(f'{found["label"]} {found["score"]:.0%}' for found in best)
        page = node_page(name, about, seen.frames, views)
        return self._prediction(path, result), (
            '<h2>Nodes</h2><p>Move the pointer over the image, or drag a finger. The '
            'bars beside it show which nodes that position reads from. Choose the unit '
            'and the node above the image.</p>'
            f'<iframe title="The nodes of {escape(name)}" srcdoc="{escape(page)}" '
            f'onload="{escape(_FIT)}"></iframe>'
        )

    def _prediction(self, path: str, result: Any) -> str:
        """HTML: the input and its classes."""
        predictor = self._predictor
        if len(predictor.palette):  # a segmentor: a class for each pixel
            classes = predictor.topk(result, len(predictor.classes))
            title = 'Classes, by their share of the pixels'
            picture = _overlay(read_image(path), result, predictor.palette)
        else:
            classes = predictor.topk(result, _TOP_K)
            title = 'Most likely classes'
            if self.takes_videos:
                picture = _frames(sample_frames(path, _FRAMES))
            else:
                image = read_image(path)
                picture = _layers(_image(image), image)
        colors = dict(zip(predictor.classes, predictor.palette, strict=False))
        rows = ''.join(_row(found, colors.get(found['label'])) for found in classes)
        return (
            f'<h2>Prediction for {escape(Path(path).name)}</h2>'
            f'<div class="prediction"><figure>{picture}</figure>'
            f'<section><p><strong>{title}</strong></p><ol class="classes">{rows}</ol>'
            '</section></div>'
        )


_WITHOUT_UNITS = (
    '<h2>Nodes</h2><p>This network has no GloRe unit, so there are no nodes to show. '
    'For a network with units start glore-demo with its config, such as '
    '<code>glore_mm::seg/glore_mini.py</code>.</p>'
)


def _row(found: dict[str, Any], color: Any) -> str:
    """One class of a list: its colour, its name, its score."""
    chip = ''
    if color is not None:
        red, green, blue = (int(value) for value in color)
        chip = f'<span class="color" style="background: rgb({red},{green},{blue})">'
        chip += '</span>'
    score = f'{found["score"]:.1%}'
    return (
        f'<li>{chip}<span class="label">{escape(str(found["label"]))}</span>'
        f'<span>{score}</span><span class="bar" style="width: {score}"></span></li>'
    )


def _image(picture: Image.Image, alt: str = 'The input') -> str:
    """An image as HTML that holds it, not larger than a screen."""
    picture = picture.copy()
    picture.thumbnail((_SIDE, _SIDE))
    return f'<img alt="{alt}" src="{data_uri(picture, quality=90)}">'


def _layers(images: str, image: Image.Image) -> str:
    """Images on top of each other, not higher than a part of the screen."""
    width = _HEIGHT * image.width // image.height
    return f'<div class="layers" style="max-width: {width}px">{images}</div>'


def _overlay(image: Image.Image, labels: np.ndarray, palette: Any) -> str:
    """An image below the colours of its classes, with a slider for their opacity."""
    colors = index_image(labels, palette)
    colors.thumbnail((_SIDE, _SIDE), Image.Resampling.NEAREST)
    upper = f'<img alt="The class of each pixel" src="{data_uri(colors)}">'
    return (
        f'{_layers(_image(image) + upper, image)}'
        '<figcaption><label for="opacity">opacity of the classes</label><input '
        'id="opacity" type="range" min="0" max="1" step="0.05" value="0.5" '
        f'oninput="{_FADE}"></figcaption>'
    )


def _frames(frames: list[np.ndarray]) -> str:
    """Frames of a clip, in their order."""
    images = []
    for index, frame in enumerate(frames, start=1):
        picture = Image.fromarray(frame)
        picture.thumbnail((_SIDE // 4, _SIDE // 4))
        images.append(_image(picture, f'Frame {index} of {len(frames)}'))
    return f'<div class="frames">{"".join(images)}</div>'


class _Uploads:
    """The uploaded file of each open page; a file that no page shows is removed."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._lock = threading.Lock()

    def replace(self, page: str, file: str | None = None) -> None:
        """Note the file that a page shows now, and remove the one before it."""
        with self._lock:
            before = self._files.pop(page, None)
            if file is not None:
                self._files[page] = file
            # the same content from several pages is one file
            if before is not None and before not in self._files.values():
                with suppress(OSError):
                    os.remove(before)
                    os.rmdir(os.path.dirname(before))


@contextmanager
def serve(
    demo: BrowserDemo,
    host: str = '127.0.0.1',
    port: int | None = None,
    max_size: int = 100,
    open_browser: bool = False,
) -> Iterator[str]:
    """Serve the page of a network while the context lasts.

    Nothing is sent to other machines. Uploaded files are removed when their page is
    closed or shows another file, and when the context ends.

    Args:
        demo (BrowserDemo): The network.
        host (str): The address to listen on. Default: this machine only.
        port (int, optional): Default: the first free one from 7860 on.
        max_size (int): Of an uploaded file, MB. Default: 100.
        open_browser (bool): Open the page in the user's browser. Default: False.

    Yields:
        str: The address of the page.

    Raises:
        UserError: Gradio is not installed, or the address cannot be listened on.
    """
    _check_address(host, port)
    with (
        tempfile.TemporaryDirectory(
            prefix='glore-demo-', ignore_cleanup_errors=True
        ) as folder,
        _environment(
            GRADIO_TEMP_DIR=folder,
            # read where a part of Gradio asks no argument
            GRADIO_ANALYTICS_ENABLED='False',
            HF_HUB_DISABLE_TELEMETRY='1',
            # Gradio asks its own server whether it is there, never through a proxy
            NO_PROXY=f'{os.environ.get("NO_PROXY", "")},{host},localhost',
            no_proxy=f'{os.environ.get("no_proxy", "")},{host},localhost',
        ),
    ):
        gradio = _import_gradio()
        page = _build_page(gradio, demo, max_size)
        try:
            page.launch(
                server_name=host,
                server_port=port,
                max_file_size=f'{max_size}mb',
                allowed_paths=[folder],
                app_kwargs=dict(middleware=_middleware(host)),
                theme=gradio.themes.Default(
                    primary_hue='blue',
                    font=['system-ui', 'sans-serif'],
                    font_mono=['ui-monospace', 'monospace'],
                ),
                css=_CSS,
                footer_links=[],
                prevent_thread_lock=True,
                inbrowser=open_browser,
                quiet=True,
                inline=False,
                # what the environment could switch on
                share=False,
                ssr_mode=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                num_workers=0,
                pwa=False,
                root_path='',
            )
            yield f'http://{host}:{page.server_port}'
        finally:
            page.close(verbose=False)


def _build_page(gradio: Any, demo: BrowserDemo, max_size: int) -> Any:
    """The page as Gradio's blocks."""
    uploads = _Uploads()
    kind = 'a clip' if demo.takes_videos else 'an image'

    def show(path: str | None, request: gradio.Request) -> tuple[str, str]:
        page = request.session_hash
        uploads.replace(page, path)
        return demo.answer(path) if path else (_intro(kind), '')

    def clear(request: gradio.Request) -> tuple[str, str]:
        uploads.replace(request.session_hash)
        return _intro(kind), ''

    def unload(request: gradio.Request) -> None:
        uploads.replace(request.session_hash)

    with gradio.Blocks(
        title=f'{demo.name} – glore-mm', analytics_enabled=False
    ) as page:
        gradio.HTML(
            f'<h1>{escape(demo.name)}</h1><p>{escape(demo.about)}</p>'
            f'<p class="note">{escape(demo.source)}</p>',
            elem_classes='glore',
        )
        file = gradio.File(
            label=f'Drop {kind} here: at most {max_size} MB',
            height=140,
        )
        prediction = gradio.HTML(_intro(kind), elem_classes='glore', elem_id='result')
        nodes = gradio.HTML(elem_classes='glore', elem_id='nodes')
        shared = dict(
            outputs=[prediction, nodes],
            api_visibility='private',
            concurrency_limit=1,
            concurrency_id='network',
            show_progress_on=prediction,
        )
        file.upload(show, inputs=file, **shared)
        file.clear(clear, **shared)
        page.unload(unload)
    return page


def _intro(kind: str) -> str:
    return (
        f'<ol class="steps"><li>Drop {kind} into the field above, or click there to '
        'choose one.</li><li>See what the network predicts.</li><li>Move the pointer '
        'over the input to see which nodes of a GloRe unit each position reads from.'
        '</li></ol>'
    )


def _middleware(host: str) -> list[Any]:
    """What each answer of the server passes through."""
    from starlette.middleware import (  # type: ignore[import-not-found,unused-ignore]
        Middleware,
    )
    from starlette.middleware.trustedhost import (  # type: ignore[import-not-found,unused-ignore]
        TrustedHostMiddleware,
    )

    found = [Middleware(_Policy)]
    if host in _LOOPBACK:  # a name of another site that points here is refused
        found.append(Middleware(TrustedHostMiddleware, allowed_hosts=[*_LOOPBACK]))
    return found


class _Policy:
    """ASGI middleware: forbids the browser to load anything from other machines."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message['type'] == 'http.response.start':
                header = (b'content-security-policy', _POLICY.encode())
                message['headers'] = [*message.get('headers', ()), header]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _check_address(host: str, port: int | None) -> None:
    """Find out at once what Gradio would try for minutes.

    Raises:
        UserError: The address cannot be listened on.
    """
    try:
        family = socket.getaddrinfo(host, port or 0)[0][0]
        socket.create_server((host, port or 0), family=family).close()
    except (OSError, OverflowError) as error:
        where = f'--host {host}' + (f' --port {port}' if port else '')
        raise UserError(
            f'{where}: {error_summary(error)}. Give another, or none for a free port '
            'of this machine.'
        ) from error


def _import_gradio() -> Any:
    try:
        import gradio  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UserError(
            f'the page in the browser needs Gradio 6: {error}. '
            "pip install 'glore-mm[demo]'"
        ) from error
    return gradio


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables of the environment while the context lasts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
