"""Real clusters for the tests of `make test-engines`."""
