"""SearchTuner: TFX's Tuner, whose outcome tells how sure it is."""
