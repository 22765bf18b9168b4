"""The rules of a Kubeflow Pipelines 2.x server, applied to a compiled file."""
