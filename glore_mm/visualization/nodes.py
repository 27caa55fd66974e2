"""Images of nodes: projection maps over the input, and the graph of nodes."""

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

_MIN_SIDE = 192  # pixels; smaller frames are enlarged to this shorter side,
_MAX_SIDE = 768  # pixels; but only up to this longer side
_TILE = 128  # pixels; longer side of a tile in `plot_all_nodes`
_FRAMES = 8  # maximum number of frames in `plot_nodes`
_EDGES = 64  # maximum number of edges in a drawing of the graph


def _heat() -> np.ndarray:
    values = np.linspace(-1, 1, 255)
    colors = np.where(values[:, None] > 0, (214, 30, 30), (25, 80, 200))
    alpha = 0.85 * np.abs(values) ** 0.7  # an exponent below 1 shows weak values, too
    return np.rint(np.column_stack([colors, 255 * alpha])).astype(np.uint8)


#: Colours of values from −1 to 1, uint8 (255, 4), RGBA: negative blue, positive red,
#: 0 transparent.
HEAT = _heat()


@dataclass(frozen=True)
class NodeView:
    """Maps and graph of a unit for one input, with derived values computed once.

    Attributes:
        maps (np.ndarray): B over the frames of the input, float (K, T, h, w).
        graph (np.ndarray): I − A, (K, K): weights from each node (column) to each node
            (row).
    """

    maps: np.ndarray
    graph: np.ndarray

    @cached_property
    def ranking(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and their scores, from `rank_nodes`."""
        return rank_nodes(self.maps)

    @cached_property
    def means(self) -> np.ndarray:
        """The mean of each map, (K,)."""
        return self.maps.mean(axis=(1, 2, 3))

    @cached_property
    def differences(self) -> np.ndarray:
        """Difference of each map from its mean, (K, T, h, w)."""
        return self.maps - self.means[:, None, None, None]

    @cached_property
    def limits(self) -> np.ndarray:
        """Largest absolute difference of each map, (K,)."""
        return np.abs(self.differences).max(axis=(1, 2, 3))

    @cached_property
    def edges(self) -> np.ndarray:
        """The graph without its diagonal, (K, K)."""
        return np.where(np.eye(len(self.graph), dtype=bool), 0, self.graph)

    @cached_property
    def strongest(self) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Map of the node with the largest absolute value of B at each position.

        Returns the map as colours, uint8 (T, h, w, 3), RGB, and the colour of each
        node. The nodes with the most positions have one colour each, others are grey.
        """
        node = np.abs(self.maps).argmax(axis=0)
        counts = np.bincount(node.ravel(), minlength=len(self.maps))
        palette = np.rint(np.array(mpl.color_sequences['Dark2']) * 255)
        shown = np.argsort(-counts, kind='stable')[: len(palette)]
        shown = shown[counts[shown] > 0]
        table = np.full((len(self.maps), 3), 150, np.uint8)
        table[shown] = palette[: len(shown)]
        return table[node], {int(k): table[k] for k in shown}

    @cached_property
    def matrix(self) -> Image.Image:
        """Image of the graph as a matrix, RGB.

        The colour range is that of the edges between different nodes, as the diagonal,
        near 1, would hide them.
        """
        figure, axes = _figure()
        limit = np.abs(self.edges).max() or 1
        image = axes.imshow(self.graph, cmap='RdBu_r', vmin=-limit, vmax=limit)
        axes.set(title='I − A as learned', xlabel='from node', ylabel='to node')
        figure.colorbar(image, extend='both', shrink=0.8)
        return figure_to_image(figure)

    @cached_property
    def drawing(self) -> Image.Image:
        """Drawing of the strongest edges between nodes, RGB.

        The size of a dot shows how much the unit uses the node (`node_usage`). Nodes
        without any of these edges are left out.
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
        """Return the index of the map, of T, for frame number `frame` of `count`."""
        return frame * self.maps.shape[1] // count

    def overlay_heatmap(self, frame: np.ndarray, node: int, time: int) -> Image.Image:
        """Overlay a frame with the differences of a node's map from its mean.

        Args:
            frame (np.ndarray): uint8 (H, W, 3), RGB.
            node (int): Index of the node.
            time (int): Index of the map, of the node's T maps.

        Returns:
            Image.Image: RGB, of the size of the frame; the map is interpolated.
        """
        picture = Image.fromarray(frame)
        values = self.differences[node, time] / (self.limits[node] or 1)
        scaled = Image.fromarray(values.astype(np.float32))
        scaled = np.asarray(scaled.resize(picture.size, Image.Resampling.BILINEAR))
        levels = np.rint(scaled.clip(-1, 1) * 127).astype(int) + 127
        heat = Image.fromarray(HEAT[levels])
        picture.paste(heat, mask=heat.getchannel('A'))
        return picture


def plot_nodes(frames: np.ndarray, view: NodeView, top_k: int = 4) -> Image.Image:
    """Draw the highest-ranked maps of a unit at the size of its input, and its graph.

    Each row has a frame (at most 8, evenly spaced), the differences of the maps from
    their means, and the strongest node at each position. A single wide frame gives a
    column instead. The graph is below the rows.

    Args:
        frames (np.ndarray): Preprocessed input, uint8 (T, H, W, 3), RGB.
        view (NodeView): View of the unit over these frames.
        top_k (int): Number of maps. Default: 4.

    Returns:
        Image.Image: RGB.
    """
    order, scores = view.ranking
    strongest, colors = view.strongest
    legend = [(str(node), tuple(color.tolist())) for node, color in colors.items()]
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round()
    rows = []
    for t in chosen.astype(int):
        frame, time = _enlarge(frames[t]), view.place_of(t, len(frames))
        picture = Image.fromarray(frame)
        row = [add_title(picture, f'frame {t}' if len(frames) > 1 else 'input')]
        for node, score in zip(order[:top_k], scores, strict=False):
            values = f'{view.means[node]:.2g} ± {view.limits[node]:.2g}'
            tile = view.overlay_heatmap(frame, node, time)
            row.append(add_title(tile, f'node {node}: {score:.0%} of all, {values}'))
        tile = Image.fromarray(strongest[time])
        tile = tile.resize(picture.size, Image.Resampling.NEAREST)
        tile = Image.blend(picture, tile, 0.6)
        row.append(add_title(tile, 'strongest node:', *legend))
        wide = len(chosen) == 1 and picture.width > 2 * picture.height
        rows.append(vstack(row, gap=4) if wide else hstack(row, gap=4))
    rows.append(hstack([view.matrix, view.drawing]))
    return vstack(rows, gap=4)


def plot_all_nodes(frames: np.ndarray, view: NodeView) -> Image.Image:
    """Draw the maps of all nodes as small tiles, the highest-ranked first.

    Args:
        frames (np.ndarray): Preprocessed input, uint8 (T, H, W, 3), RGB. The tiles show
            the middle frame.
        view (NodeView): View of the unit over these frames.

    Returns:
        Image.Image: RGB.
    """
    t = len(frames) // 2
    frame = Image.fromarray(_enlarge(frames[t]))
    frame.thumbnail((_TILE, _TILE))
    frame, time = np.asarray(frame), view.place_of(t, len(frames))
    tiles = [
        add_title(view.overlay_heatmap(frame, node, time), f'{node}: {score:.1%}')
        for node, score in zip(*view.ranking, strict=True)
    ]
    columns = math.ceil(math.sqrt(len(tiles) * 1.5))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return vstack([hstack(row, gap=2) for row in rows], gap=2)


def _enlarge(frame: np.ndarray) -> np.ndarray:
    """Repeat the pixels of a small frame."""
    factor = math.ceil(_MIN_SIDE / min(frame.shape[:2]))
    factor = max(1, min(factor, _MAX_SIDE // max(frame.shape[:2])))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4.6), dpi=110, layout='constrained')
    return figure, figure.add_subplot()
