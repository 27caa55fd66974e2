"""A page in the browser: drop a file, see its prediction and the nodes of the units."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from mmengine.config import Config
from PIL import Image

from glore_mm.apis.infer import load_predictor
from glore_mm.apis.tasks import get_task
from glore_mm.apis.visualize import predict_whole_images, units_to_view, view_nodes
from glore_mm.utils.errors import UserError, error_summary, summarize_list
from glore_mm.utils.videos import sample_frames
from glore_mm.visualization.node_page import node_page

_SIDE = 1280  # pixels of the longer side of an image on the page, at most
_FRAMES = 8  # of a clip on the page
_TOP_K = 5  # classes of a classifier on the page
_KEEP = 60  # seconds after which a file is removed; checked twice as often
_NEAREST = Image.Resampling.NEAREST
_LOOPBACK = ['127.0.0.1', 'localhost']
# What the browser may load: from the server and from the page itself, nothing else.
_POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
# The frame is as high as the page in it, so that only the outer page scrolls.
_FRAME = (
    '<iframe title="Nodes" style="width: 100%; background: white; color-scheme: light" '
    'onload="const root = this.contentDocument.documentElement; '
    "new ResizeObserver(() => this.style.height = root.offsetHeight + 2 + 'px')"
    '.observe(root)" srcdoc="{}"></iframe>'
)


class BrowserDemo:
    """The network behind the page.

    Attributes:
        predictor (Predictor): The network.
        units (list[str]): The paths of the units whose nodes are shown.
        name (str): Name of the config.
        about (str): Markdown: the classes, the units, the config and the checkpoint.

    Args:
        cfg (Config): From `load_config`. A segmentor is set to predict whole images.
        checkpoint (str): File with the weights.

    Raises:
        UserError: The checkpoint is of another network, or the config cannot predict
            single files.
    """

    def __init__(self, cfg: Config, checkpoint: str) -> None:
        predict_whole_images(cfg)
        self.predictor = load_predictor(cfg, checkpoint)
        self.units = units_to_view(self.predictor.model)
        self.name = Path(cfg.filename).stem
        self._suffixes = get_task(cfg).input_suffixes
        classes = self.predictor.classes
        units = summarize_list(self.units) or 'none, so there are no nodes to show'
        self.about = (
            f'{len(classes)} classes: {escape(summarize_list(classes, 6))}. '
            f'GloRe units: {units}.\n\n'
            f'`config {cfg.filename} | checkpoint {checkpoint}`'
        )

    def answer(self, path: str) -> tuple[Any, dict[str, float], str]:
        """Predict a file.

        Args:
            path (str): An image, or a video where the network takes videos.

        Returns:
            tuple[Any, dict[str, float], str]: Frames of the video or the image, for a
            segmentor with the mask and the name of each class; the scores of the best
            classes; HTML of the nodes, empty without units.

        Raises:
            UserError: The file cannot be predicted.
        """
        predictor, name = self.predictor, Path(path).name
        # the decoder of videos reads an image, too, as a video of one frame
        if predictor.takes_videos and not name.lower().endswith(self._suffixes):
            endings = ', '.join(self._suffixes)
            raise UserError(f'{name} is no video: none of the endings {endings}')
        # before the prediction, as the file may be removed while the network runs
        if predictor.takes_videos:
            picture: Any = sample_frames(path, _FRAMES)
        else:
            picture = predictor.loader.picture(path)
            picture.thumbnail((_SIDE, _SIDE))
        if self.units:
            seen, views = view_nodes(predictor, [path], self.units)
            (result,) = seen.result
        else:
            result = predictor.predict(path)
        best = predictor.topk(result, len(predictor.palette) or _TOP_K)
        scores = {found['label']: found['score'] for found in best}
        nodes = ''
        if self.units:
            about = ', '.join(f'{c["label"]} {c["score"]:.0%}' for c in best[:3])
            page = node_page(name, about, seen.frames, views)
            nodes = _FRAME.format(escape(page))
        if len(predictor.palette):
            labels = Image.fromarray(result).resize(picture.size, _NEAREST)
            index = predictor.classes.index
            masks = [(0.5 * (np.asarray(labels) == index(c)), c) for c in scores]
            picture = picture, masks
        return picture, scores, nodes


@contextmanager
def serve(
    demo: BrowserDemo,
    host: str = '127.0.0.1',
    port: int | None = None,
    max_size: int = 100,
    open_browser: bool = False,
) -> Iterator[str]:
    """Serve the page of a network while the context lasts.

    Nothing is sent to other machines. Files are removed 60 to 90 seconds after
    their upload, and when the context ends.

    Args:
        demo (BrowserDemo): The network.
        host (str): The address to listen on. Default: this machine only.
        port (int, optional): Port. Default: the first free one from 7860 on.
        max_size (int): Largest size of an uploaded file, MB. Default: 100.
        open_browser (bool): Open the page in the user's browser. Default: False.

    Yields:
        str: The address of the page.

    Raises:
        UserError: Gradio is not installed, or the address cannot be listened on.
    """
    _check_address(host, port)
    # Gradio asks its own server whether it is there, never through a proxy
    no_proxy = os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')
    with (
        TemporaryDirectory(prefix='glore-demo-', ignore_cleanup_errors=True) as folder,
        patch.dict(  # restores the environment
            os.environ,
            GRADIO_TEMP_DIR=folder,
            GRADIO_ANALYTICS_ENABLED='False',  # and no version check
            no_proxy=f'{no_proxy},{host},localhost',
        ),
    ):
        page = _build_page(demo, max_size)
        try:
            page.launch(
                server_name=host,
                server_port=port,
                max_file_size=f'{max_size}mb',
                app_kwargs=dict(middleware=_middleware(host)),
                inbrowser=open_browser,
                share=False,
                run_history=False,
                enable_monitoring=False,
                show_error=True,
                footer_links=[],
                prevent_thread_lock=True,
                quiet=True,
            )
            yield f'http://{host}:{page.server_port}'
        finally:
            page.close(verbose=False)


def _build_page(demo: BrowserDemo, max_size: int) -> Any:
    """The page as Gradio's blocks."""
    try:
        import gradio  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UserError(f"{error}: pip install 'glore-mm[demo]'") from error

    def show(path: str | None) -> tuple[Any, Any, Any]:
        if path is None:
            return None, None, None
        try:
            return demo.answer(path)
        except UserError as error:
            problem = escape(error_summary(error).replace(path, Path(path).name))
            raise gradio.Error(problem, duration=None, print_exception=False) from error

    predictor, title = demo.predictor, 'Most likely classes'
    kind = 'a clip' if predictor.takes_videos else 'an image'
    with gradio.Blocks(title=demo.name, delete_cache=(_KEEP // 2, _KEEP)) as page:
        gradio.Markdown(f'# {demo.name}\n{demo.about}')
        file = gradio.File(label=f'Drop {kind} here: at most {max_size} MB', height=140)
        with gradio.Row():
            if len(predictor.palette):
                title = 'Share of the pixels'
                names = zip(predictor.classes, predictor.palette, strict=False)
                colors = {name: f'#{bytes(rgb).hex()}' for name, rgb in names}
                picture = gradio.AnnotatedImage(  # full screen would misplace the masks
                    label='Classes', color_map=colors, buttons=[]
                )
            elif predictor.takes_videos:
                picture = gradio.Gallery(label='Frames', columns=4, buttons=[])
            else:
                picture = gradio.Image(label='Input', buttons=[])
            classes = gradio.Label(label=title, show_heading=False)
        nodes = gradio.HTML(elem_id='nodes')
        gradio.on(
            [file.upload, file.clear],
            show,
            inputs=file,
            outputs=[picture, classes, nodes],
            api_visibility='private',
            concurrency_limit=1,
            # a file that is dropped during a prediction comes next
            trigger_mode='always_last',
            show_progress_on=picture,
        )
    return page


def _middleware(host: str) -> list[Any]:
    """What each request to the server passes through."""
    from starlette.middleware import Middleware  # type: ignore[import-not-found,unused-ignore]
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # type: ignore[import-not-found,unused-ignore]

    # the name of another site that points to this machine is refused
    hosts = _LOOPBACK if host in _LOOPBACK else ['*']
    return [Middleware(_policy), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]


def _policy(app: Any) -> Any:
    """ASGI middleware: forbids the browser to load anything from other machines."""

    async def with_policy(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message['type'] == 'http.response.start':
                message['headers'].append((b'content-security-policy', _POLICY))
            await send(message)

        await app(scope, receive, send_with_policy)

    return with_policy


def _check_address(host: str, port: int | None) -> None:
    """Raise an error for an address that Gradio would try for minutes."""
    try:
        family = socket.getaddrinfo(host, port or 0)[0][0]
        socket.create_server((host, port or 0), family=family).close()
    except (OSError, OverflowError) as error:
        where = f'--host {host}' + (f' --port {port}' if port else '')
        raise UserError(
            f'{where}: {error_summary(error)}. Give another address or port.'
        ) from error
