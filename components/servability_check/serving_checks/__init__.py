"""Loads a SavedModel as a server would and sends it real requests.

It runs in a fresh process with TensorFlow alone, which `check_process` starts: these
modules import each other by relative names and nothing else of the project.
"""
