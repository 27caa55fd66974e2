"""HTML page to explore the nodes of a network's units."""

from typing import Any

import numpy as np
from PIL import Image

from glore_mm.visualization.html import data_uri, quantize_int8, render
from glore_mm.visualization.nodes import HEAT, NodeView


def node_page(
    name: str, about: str, frames: np.ndarray, units: dict[str, NodeView]
) -> str:
    """Create an interactive HTML page with the projection maps and graphs of units.

    Args:
        name (str): Name of the input.
        about (str): A line about the network and its result.
        frames (np.ndarray): Preprocessed input, uint8 (T, H, W, 3), RGB; T is 1 for an
            image.
        units (dict[str, NodeView]): Views of the units over these frames, by name.

    Returns:
        str: The page. It embeds all its content and loads nothing from a network.
    """
    content = dict(
        frames=[data_uri(Image.fromarray(frame), quality=90) for frame in frames],
        colors=HEAT.tolist(),
        units=[_unit(name, view) for name, view in units.items()],
    )
    return render('nodes.html', name=name, about=about, data=content)


def _unit(name: str, view: NodeView) -> dict[str, Any]:
    order, scores = view.ranking
    places, colors = view.strongest
    values, limits = quantize_int8(view.differences)
    edges, edge_limits = quantize_int8(view.edges)
    return dict(
        name=name,
        size=view.maps.shape[1:],
        maps=values,
        limits=limits,
        means=view.means.tolist(),
        largest=np.abs(view.maps).max(axis=(1, 2, 3)).tolist(),
        order=order.tolist(),
        scores=scores.tolist(),
        strongest=[data_uri(Image.fromarray(place)) for place in places],
        legend=[(node, color.tolist()) for node, color in colors.items()],
        graph=edges,
        graph_limits=edge_limits,
        matrix=data_uri(view.matrix),
        drawing=data_uri(view.drawing),
    )
