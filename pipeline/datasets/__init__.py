"""MovieLens data: the catalog of editions, download, description, synthesis."""
