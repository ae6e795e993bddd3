"""The configs that come with the package: a module of each name."""
