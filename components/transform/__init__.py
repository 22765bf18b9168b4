"""Transform: TFT's preprocessing of each split."""
