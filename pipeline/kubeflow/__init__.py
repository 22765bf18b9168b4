"""Open-source Kubeflow Pipelines 2.x, on which pipelines compiled by TFX fail.

`spec_patches` and `step_settings` change the pipeline that TFX compiles, `validation`
checks it as a server would, `step_entrypoint` is the command of the containers, and
`server` uploads, runs and schedules it. `pipeline.kubeflow_runner` puts them together.
"""
