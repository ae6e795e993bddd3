"""Pictures and pages of a run, from its files alone."""
