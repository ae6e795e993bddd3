"""What a search does with alphas and when."""
