"""Step 1: which files are read. Formats of editions, folders of spans, fingerprint."""
