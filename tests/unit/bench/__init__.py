"""The scenario suite: its files, its figures, and what is made of them."""
