"""The Kubeflow Pipelines server: connection, runs, schedules."""
