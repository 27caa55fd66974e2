"""What networks cost, how they trained, what their units see, how two compare.

What draws is not imported here: `curves`, `node_pictures` and the pages, which need
matplotlib's figures and more.
"""

import glore_mm._toolkit  # noqa: F401
from glore_mm.analysis.cost import Cost, cost_of
from glore_mm.analysis.dumps import ConfusionDump, ScoresDump, class_iou, read_dump
from glore_mm.analysis.logs import Curve, read_run, read_runs
from glore_mm.analysis.networks import units_of
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
    'ScoresDump',
    'class_iou',
    'cost_of',
    'projection_maps',
    'read_dump',
    'read_run',
    'read_runs',
    'telling',
    'units_of',
    'usage',
    'watching',
]
