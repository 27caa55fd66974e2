"""What networks cost."""

from glore_mm.analysis.cost import Cost, cost_of

__all__ = ['Cost', 'cost_of']
