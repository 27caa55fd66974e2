"""Networks and heads. Each module needs the OpenMMLab library of its task."""
