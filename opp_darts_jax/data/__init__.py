"""Images from anywhere: splits, augmentation, streams."""
