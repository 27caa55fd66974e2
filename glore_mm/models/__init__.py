"""Networks and heads; each module needs the library of its task."""
