"""The graph, its configuration, the runners and the command line."""
