"""Generated data sets for tests, demos and benchmarks of long-range reasoning."""
