"""Several processes that train one model: `train.workers`.

TensorFlow accepts a cluster only before a process has computed anything, and the steps
before the Trainer compute. So the step trains nothing itself then: it starts all
workers, the first of which, the chief, exports the model. `python -m trainer.workers`
is one of them, here as in the pods of a cluster.
"""
