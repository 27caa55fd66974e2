"""Pictures of nodes: maps laid over what a network saw, and the graph of nodes."""

import math

import matplotlib as mpl
import networkx as nx
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from glore_mm.analysis.projection_maps import telling, usage
from glore_mm.pictures import beside, drawn, stacked, titled

_RED, _BLUE = (214, 30, 30), (25, 80, 200)
_LEAST = 192  # pixels; what is smaller is shown larger
_TILE = 128  # pixels, the longer side of a tile where all nodes are shown
_STRONGEST = 8  # nodes with a colour of their own in the map of the strongest
_FRAMES = 8  # of a clip in a picture
_EDGES = 64  # at most, in a drawing of the graph


def heat_colors() -> np.ndarray:
    """Colours of values from −1 to 1: blue for negative, red for positive, 0 is clear.

    Returns:
        np.ndarray: uint8 (255, 4), RGBA.
    """
    values = np.linspace(-1, 1, 255)
    colors = np.where(values[:, None] > 0, _RED, _BLUE)
    alpha = 0.85 * np.abs(values) ** 0.7  # weak values show, too
    return np.rint(np.column_stack([colors, 255 * alpha])).astype(np.uint8)


def overlay(frame: np.ndarray, values: np.ndarray, limit: float) -> Image.Image:
    """Lay a map over a frame as heat, see `heat_colors`.

    Args:
        frame (np.ndarray): uint8 (H, W, 3), RGB.
        values (np.ndarray): The map, float (h, w), of any size; interpolated.
        limit (float): The value of full heat, positive or negative.

    Returns:
        Image.Image: RGB, of the size of the frame.
    """
    picture = Image.fromarray(frame)
    scaled = Image.fromarray(values.astype(np.float32) / (limit or 1))
    scaled = np.asarray(scaled.resize(picture.size, Image.Resampling.BILINEAR))
    levels = np.rint(scaled.clip(-1, 1) * 127).astype(int) + 127
    heat = Image.fromarray(heat_colors()[levels])
    picture.paste(heat, mask=heat.getchannel('A'))
    return picture


def around_mean(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the map of each node differs from its mean, by which it would hide that.

    Args:
        maps (np.ndarray): (K, T, h, w).

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: The differences (K, T, h, w), the
        means (K,), and the largest difference of each map, of either sign (K,).
    """
    means = maps.mean(axis=(1, 2, 3))
    differences = maps - means[:, None, None, None]
    return differences, means, np.abs(differences).max(axis=(1, 2, 3))


def strongest(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node that each place gives the most to and takes the most from.

    Args:
        maps (np.ndarray): (K, T, h, w).

    Returns:
        tuple[np.ndarray, np.ndarray]: The node of each place, int (T, h, w), and the
        nodes that are it anywhere, those of the most places first.
    """
    node = np.abs(maps).argmax(axis=0)
    places = np.bincount(node.ravel(), minlength=len(maps))
    order = np.argsort(-places, kind='stable')
    return node, order[places[order] > 0]


def strongest_colors(maps: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """`strongest` in colours: those of the most places have one each, others are grey.

    Returns:
        tuple[np.ndarray, dict[int, np.ndarray]]: uint8 (T, h, w, 3), RGB, and the
        colours by node.
    """
    node, found = strongest(maps)
    palette = np.rint(np.array(mpl.colormaps['Dark2'].colors[:_STRONGEST]) * 255)
    table = np.full((len(maps), 3), 150, np.uint8)
    shown = found[: len(palette)]
    table[shown] = palette[: len(shown)]
    return table[node], {int(k): table[k] for k in shown}


def graph_matrix(graph: np.ndarray) -> Image.Image:
    """Draw I − A as a matrix.

    Args:
        graph (np.ndarray): (K, K), what a node (row) gets from each node (column).

    Returns:
        Image.Image: RGB. Colours are limited to those of the edges between nodes: what
        a node keeps of itself, near 1, would hide them.
    """
    figure = Figure(figsize=(5, 4.6), dpi=110, layout='constrained')
    axes = figure.add_subplot()
    between = np.abs(graph[~np.eye(len(graph), dtype=bool)])
    limit = between.max(initial=0) or 1
    image = axes.imshow(graph, cmap='RdBu_r', vmin=-limit, vmax=limit)
    axes.set(title='I − A as learned', xlabel='from node', ylabel='to node')
    figure.colorbar(image, extend='both', shrink=0.8)
    return drawn(figure)


def graph_drawing(graph: np.ndarray, maps: np.ndarray) -> Image.Image:
    """Draw the strongest edges between nodes, those that are used more as larger dots.

    Args:
        graph (np.ndarray): (K, K), what a node (row) gets from each node (column).
        maps (np.ndarray): B, (N, K, *spatial), for the use of the nodes.

    Returns:
        Image.Image: RGB. Nodes that none of the edges touches are left out.
    """
    between = np.where(np.eye(len(graph), dtype=bool), 0, graph)
    order = np.argsort(-np.abs(between), axis=None)[: min(_EDGES, 2 * len(graph))]
    drawing = nx.DiGraph()
    for to, source in zip(*np.unravel_index(order, graph.shape), strict=True):
        weight = float(between[to, source])
        if weight:
            drawing.add_edge(int(source), int(to), weight=abs(weight), signed=weight)
    figure = Figure(figsize=(5, 4.6), dpi=110, layout='constrained')
    axes = figure.add_subplot()
    axes.set_title(f'the {drawing.number_of_edges()} strongest edges between nodes')
    axes.set_axis_off()
    if drawing:
        edges = list(drawing.edges(data=True))
        top = max(edge['weight'] for *_, edge in edges)
        used = usage(maps)
        nx.draw_networkx(
            drawing,
            pos=nx.spring_layout(drawing, seed=0, k=3 / math.sqrt(len(drawing))),
            ax=axes,
            node_size=[80 + 2000 * used[node] for node in drawing],
            node_color='0.85',
            edgecolors='0.4',
            font_size=6,
            edge_color=['C3' if e['signed'] > 0 else 'C0' for *_, e in edges],
            width=[0.4 + 1.6 * (e['weight'] / top) for *_, e in edges],
            arrowsize=6,
        )
    return drawn(figure)


def node_sheet(
    frames: np.ndarray, maps: np.ndarray, graph: np.ndarray, top_k: int = 4
) -> Image.Image:
    """The most telling maps of a unit at the size of its input, and its graph.

    Args:
        frames (np.ndarray): What the network saw, uint8 (T, H, W, 3), RGB.
        maps (np.ndarray): B over them, float (K, T', h, w).
        graph (np.ndarray): I − A, (K, K).
        top_k (int): How many maps. Default: 4.

    Returns:
        Image.Image: RGB. A row for each frame (at most 8, evenly chosen): the frame,
        where the maps differ from their means, the strongest node of each place; below
        them the graph.
    """
    order, scores = telling(maps)
    differences, means, limits = around_mean(maps)
    places, colors = strongest_colors(maps)
    legend = [(str(node), tuple(color.tolist())) for node, color in colors.items()]
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round()
    rows = []
    for t in chosen.astype(int):
        frame, place = _enlarged(frames[t]), t * maps.shape[1] // len(frames)
        picture = Image.fromarray(frame)
        row = [titled(picture, f'frame {t}' if len(frames) > 1 else 'input')]
        for node, score in zip(order[:top_k], scores, strict=False):
            tile = overlay(frame, differences[node, place], limits[node])
            values = f'{means[node]:.2g} ± {limits[node]:.2g}'
            row.append(titled(tile, f'node {node}: {score:.0%} of all, {values}'))
        tile = Image.fromarray(places[place])
        tile = tile.resize(picture.size, Image.Resampling.NEAREST)
        tile = Image.blend(picture, tile, 0.6)
        row.append(titled(tile, 'strongest node:', *legend))
        rows.append(beside(row, gap=4))
    rows.append(beside([graph_matrix(graph), graph_drawing(graph, maps[None])]))
    return stacked(rows, gap=4)


def all_nodes(frames: np.ndarray, maps: np.ndarray) -> Image.Image:
    """The maps of all nodes as small tiles, the most telling first.

    Args:
        frames (np.ndarray): What the network saw, uint8 (T, H, W, 3), RGB; that in the
            middle is shown.
        maps (np.ndarray): B over them, float (K, T', h, w).

    Returns:
        Image.Image: RGB.
    """
    t = len(frames) // 2
    frame = Image.fromarray(_enlarged(frames[t]))
    frame.thumbnail((_TILE, _TILE))
    order, scores = telling(maps)
    differences, _, limits = around_mean(maps)
    columns = math.ceil(math.sqrt(len(order) * 1.5))
    tiles = []
    for node, score in zip(order, scores, strict=True):
        values = differences[node, t * maps.shape[1] // len(frames)]
        tile = overlay(np.asarray(frame), values, limits[node])
        tiles.append(titled(tile, f'{node}: {score:.1%}'))
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return stacked([beside(row, gap=2) for row in rows], gap=2)


def _enlarged(frame: np.ndarray) -> np.ndarray:
    factor = math.ceil(_LEAST / min(frame.shape[:2]))
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)
