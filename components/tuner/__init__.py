"""SearchTuner: TFX's Tuner, with the standard error of each trial's score."""
