"""The rules by which a Kubeflow Pipelines server accepts a compiled file."""
