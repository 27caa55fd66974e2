"""Pictures of nodes: maps laid over what a network saw, and the graph of nodes."""

import math
from dataclasses import dataclass
from functools import cached_property

import matplotlib as mpl
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from glore_mm.visualization.drawing import add_title, hstack, vstack
from glore_mm.visualization.figures import figure_to_image
from glore_mm.visualization.projections import node_usage, rank_nodes

_LEAST = 192  # pixels of the shorter side; what is smaller is shown larger,
_MOST = 768  # pixels of the longer side, up to this
_TILE = 128  # pixels, the longer side of a tile where all nodes are shown
_FRAMES = 8  # of a clip in a picture
_EDGES = 64  # at most, in a drawing of the graph


def _heat() -> np.ndarray:
    values = np.linspace(-1, 1, 255)
    colors = np.where(values[:, None] > 0, (214, 30, 30), (25, 80, 200))
    alpha = 0.85 * np.abs(values) ** 0.7  # weak values show, too
    return np.rint(np.column_stack([colors, 255 * alpha])).astype(np.uint8)


#: Colours of values from −1 to 1, uint8 (255, 4), RGBA: blue for negative, red for
#: positive, 0 is clear.
HEAT = _heat()


@dataclass(frozen=True)
class NodeView:
    """What is shown of a unit's nodes over an input; each thing is computed once.

    Attributes:
        maps (np.ndarray): B over the frames of the input, float (K, T, h, w).
        graph (np.ndarray): I − A, (K, K): what a node (row) gets from each (column).
    """

    maps: np.ndarray
    graph: np.ndarray

    @cached_property
    def ranking(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes in the order of `rank_nodes`, and their scores."""
        return rank_nodes(self.maps)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of each map, (K,)."""
        return self.maps.mean(axis=(1, 2, 3))

    @cached_property
    def differences(self) -> np.ndarray:
        """Where each map differs from its mean, which would hide that, (K, T, h, w)."""
        return self.maps - self.means[:, None, None, None]

    @cached_property
    def limits(self) -> np.ndarray:
        """The largest difference of each map, of either sign, (K,)."""
        return np.abs(self.differences).max(axis=(1, 2, 3))

    @cached_property
    def edges(self) -> np.ndarray:
        """The graph without what nodes keep of themselves, (K, K)."""
        return np.where(np.eye(len(self.graph), dtype=bool), 0, self.graph)

    @cached_property
    def strongest(self) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The node that each place gives the most to and takes the most from.

        Its colours, uint8 (T, h, w, 3), RGB, and the colours by node: those of the most
        places have one each, others are grey.
        """
        node = np.abs(self.maps).argmax(axis=0)
        places = np.bincount(node.ravel(), minlength=len(self.maps))
        palette = np.rint(np.array(mpl.color_sequences['Dark2']) * 255)
        shown = np.argsort(-places, kind='stable')[: len(palette)]
        shown = shown[places[shown] > 0]
        table = np.full((len(self.maps), 3), 150, np.uint8)
        table[shown] = palette[: len(shown)]
        return table[node], {int(k): table[k] for k in shown}

    @cached_property
    def matrix(self) -> Image.Image:
        """The graph as a matrix, RGB.

        Colours are limited to those of the edges between nodes: what a node keeps of
        itself, near 1, would hide them.
        """
        figure, axes = _figure()
        limit = np.abs(self.edges).max() or 1
        image = axes.imshow(self.graph, cmap='RdBu_r', vmin=-limit, vmax=limit)
        axes.set(title='I − A as learned', xlabel='from node', ylabel='to node')
        figure.colorbar(image, extend='both', shrink=0.8)
        return figure_to_image(figure)

    @cached_property
    def drawing(self) -> Image.Image:
        """The strongest edges between nodes, RGB; what is used more has a larger dot.

        Nodes that none of these edges touches are left out.
        """
        order = np.argsort(-np.abs(self.edges), axis=None)
        order = order[: min(_EDGES, 2 * len(self.graph))]
        graph = nx.DiGraph()
        for to, source in zip(*np.unravel_index(order, self.graph.shape), strict=True):
            weight = float(self.edges[to, source])
            if weight:
                graph.add_edge(int(source), int(to), weight=abs(weight), signed=weight)
        figure, axes = _figure()
        axes.set_title(f'the {graph.number_of_edges()} strongest edges between nodes')
        axes.set_axis_off()
        if graph:
            edges = list(graph.edges(data=True))
            top = max(edge['weight'] for *_, edge in edges)
            used = node_usage(self.maps[None])
            nx.draw_networkx(
                graph,
                pos=nx.spring_layout(graph, seed=0, k=3 / math.sqrt(len(graph))),
                ax=axes,
                node_size=[80 + 2000 * used[node] for node in graph],
                node_color='0.85',
                edgecolors='0.4',
                font_size=6,
                edge_color=['C3' if e['signed'] > 0 else 'C0' for *_, e in edges],
                width=[0.4 + 1.6 * (e['weight'] / top) for *_, e in edges],
                arrowsize=6,
            )
        return figure_to_image(figure)

    def place_of(self, frame: int, count: int) -> int:
        """Which of the T maps lies over a frame of so many."""
        return frame * self.maps.shape[1] // count

    def heat_over(self, frame: np.ndarray, node: int, place: int) -> Image.Image:
        """Lay over a frame where a node's map differs from its mean.

        Args:
            frame (np.ndarray): uint8 (H, W, 3), RGB.
            node (int): Which map.
            place (int): Which of its T.

        Returns:
            Image.Image: RGB, of the size of the frame; the map is interpolated.
        """
        picture = Image.fromarray(frame)
        values = self.differences[node, place] / (self.limits[node] or 1)
        scaled = Image.fromarray(values.astype(np.float32))
        scaled = np.asarray(scaled.resize(picture.size, Image.Resampling.BILINEAR))
        levels = np.rint(scaled.clip(-1, 1) * 127).astype(int) + 127
        heat = Image.fromarray(HEAT[levels])
        picture.paste(heat, mask=heat.getchannel('A'))
        return picture


def plot_nodes(frames: np.ndarray, view: NodeView, top_k: int = 4) -> Image.Image:
    """The highest-ranked maps of a unit at the size of its input, and its graph.

    Args:
        frames (np.ndarray): What the network saw, uint8 (T, H, W, 3), RGB.
        view (NodeView): The unit over them.
        top_k (int): How many maps. Default: 4.

    Returns:
        Image.Image: RGB. A row for each frame (at most 8, evenly chosen), a column for
        a single one that is wide: the frame, where the maps differ from their means,
        the strongest node of each place; below them the graph.
    """
    order, scores = view.ranking
    places, colors = view.strongest
    legend = [(str(node), tuple(color.tolist())) for node, color in colors.items()]
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round()
    rows = []
    for t in chosen.astype(int):
        frame, place = _enlarged(frames[t]), view.place_of(t, len(frames))
        picture = Image.fromarray(frame)
        row = [add_title(picture, f'frame {t}' if len(frames) > 1 else 'input')]
        for node, score in zip(order[:top_k], scores, strict=False):
            values = f'{view.means[node]:.2g} ± {view.limits[node]:.2g}'
            tile = view.heat_over(frame, node, place)
            row.append(add_title(tile, f'node {node}: {score:.0%} of all, {values}'))
        tile = Image.fromarray(places[place])
        tile = tile.resize(picture.size, Image.Resampling.NEAREST)
        tile = Image.blend(picture, tile, 0.6)
        row.append(add_title(tile, 'strongest node:', *legend))
        wide = len(chosen) == 1 and picture.width > 2 * picture.height
        rows.append(vstack(row, gap=4) if wide else hstack(row, gap=4))
    rows.append(hstack([view.matrix, view.drawing]))
    return vstack(rows, gap=4)


def plot_all_nodes(frames: np.ndarray, view: NodeView) -> Image.Image:
    """The maps of all nodes as small tiles, the highest-ranked first.

    Args:
        frames (np.ndarray): What the network saw, uint8 (T, H, W, 3), RGB; that in the
            middle is shown.
        view (NodeView): The unit over them.

    Returns:
        Image.Image: RGB.
    """
    t = len(frames) // 2
    frame = Image.fromarray(_enlarged(frames[t]))
    frame.thumbnail((_TILE, _TILE))
    frame, place = np.asarray(frame), view.place_of(t, len(frames))
    tiles = [
        add_title(view.heat_over(frame, node, place), f'{node}: {score:.1%}')
        for node, score in zip(*view.ranking, strict=True)
    ]
    columns = math.ceil(math.sqrt(len(tiles) * 1.5))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return vstack([hstack(row, gap=2) for row in rows], gap=2)


def _enlarged(frame: np.ndarray) -> np.ndarray:
    factor = math.ceil(_LEAST / min(frame.shape[:2]))
    factor = max(1, min(factor, _MOST // max(frame.shape[:2])))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4.6), dpi=110, layout='constrained')
    return figure, figure.add_subplot()
