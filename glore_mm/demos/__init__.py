"""The demos: two networks trained and compared on generated data, one for each task."""
