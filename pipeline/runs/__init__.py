"""The workspace and the runs in it, as files and ML Metadata record them."""
