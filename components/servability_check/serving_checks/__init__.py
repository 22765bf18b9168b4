"""Loads a SavedModel as a server would and sends it real requests.

It runs in a fresh process, `python -m serving_checks MODEL REQUESTS.json RESULT.json`,
with TensorFlow alone: these modules import each other by relative names and nothing
else of the project.
"""
