"""A model server for one machine: TensorFlow Serving's REST and gRPC interfaces.

```
app, rest         HTTP: paths, JSON, health, metrics
grpc_service      PredictionService and ModelService of TensorFlow Serving
predictor         one prediction, whichever way it was asked for
batching          runs TensorFlow beside the event loop, requests together
models, loaded    versions of the model, which are replaced while requests go on
```

A client that works with this server works with TensorFlow Serving, too: paths, JSON,
status codes and messages are the same, and nothing is accepted that it would refuse.
Nothing here imports TFX or Keras.
"""
