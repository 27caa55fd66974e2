"""A page to explore what the nodes of a network are."""

import numpy as np
from PIL import Image

from glore_mm.analysis.node_pictures import (
    around_mean,
    graph_drawing,
    graph_matrix,
    heat_colors,
    strongest_colors,
)
from glore_mm.analysis.projection_maps import telling
from glore_mm.pages import embedded, packed, render


def node_page(
    name: str,
    about: str,
    frames: np.ndarray,
    units: dict[str, tuple[np.ndarray, np.ndarray]],
) -> str:
    """A page of HTML with a slider over nodes and what each place is projected to.

    Args:
        name (str): Of the input.
        about (str): A line on network and result.
        frames (np.ndarray): What the network saw, uint8 (T, H, W, 3), RGB; T is 1 for
            an image.
        units (dict[str, tuple[np.ndarray, np.ndarray]]): For each unit by its name: B
            over the frames, float (K, T', h, w), and the graph I − A, (K, K).

    Returns:
        str: The page. It holds all that it shows and loads nothing.
    """
    content = dict(
        frames=[embedded(Image.fromarray(frame), quality=90) for frame in frames],
        colors=heat_colors().tolist(),
        units=[_unit(name, *both) for name, both in units.items()],
    )
    return render('nodes.html', name=name, about=about, data=content)


def _unit(name: str, maps: np.ndarray, graph: np.ndarray) -> dict:
    order, scores = telling(maps)
    places, colors = strongest_colors(maps)
    differences, means, _ = around_mean(maps)
    values, limits = packed(differences)
    edges, edge_limits = packed(np.where(np.eye(len(graph), dtype=bool), 0, graph))
    return dict(
        name=name,
        size=maps.shape[1:],
        maps=values,
        limits=limits,
        means=means.tolist(),
        largest=np.abs(maps).max(axis=(1, 2, 3)).tolist(),
        order=order.tolist(),
        scores=scores.tolist(),
        strongest=[embedded(Image.fromarray(place)) for place in places],
        legend=[(node, color.tolist()) for node, color in colors.items()],
        graph=edges,
        graph_limits=edge_limits,
        matrix=embedded(graph_matrix(graph)),
        drawing=embedded(graph_drawing(graph, maps[None])),
    )
