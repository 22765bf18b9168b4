"""Runs the pipeline on open-source Kubeflow Pipelines, which stock TFX cannot.

`compiler` makes the file, `rules` checks it as the server would, `step` is what the
containers run, and `client` talks to the server.
"""
