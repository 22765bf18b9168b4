"""Our model and its peers: the same split, the same exclusion, the same metrics."""
