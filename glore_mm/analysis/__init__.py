"""What networks cost, how they trained, what their units see, how two compare."""

from glore_mm.analysis.comparison_page import comparison_page
from glore_mm.analysis.cost import Cost, cost_of
from glore_mm.analysis.curves import default_keys, draw_curves, write_figure
from glore_mm.analysis.dumps import ConfusionDump, class_iou, read_dump
from glore_mm.analysis.logs import Curve, read_run, read_runs
from glore_mm.analysis.node_page import node_page
from glore_mm.analysis.node_pictures import all_nodes, node_sheet
from glore_mm.analysis.projection_maps import (
    ProjectionMaps,
    projection_maps,
    telling,
    usage,
    watching,
)

__all__ = [
    'ConfusionDump',
    'Cost',
    'Curve',
    'ProjectionMaps',
    'all_nodes',
    'class_iou',
    'comparison_page',
    'cost_of',
    'default_keys',
    'draw_curves',
    'node_page',
    'node_sheet',
    'projection_maps',
    'read_dump',
    'read_run',
    'read_runs',
    'telling',
    'usage',
    'watching',
    'write_figure',
]
