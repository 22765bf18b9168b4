"""Getting MovieLens data: the catalogue, fetching, describing and making it up."""
