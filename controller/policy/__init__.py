"""Pure policies: one algorithm per file, found through the registry."""
