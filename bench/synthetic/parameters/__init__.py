"""Parameters of synthetic people and their photographs, and how they are sampled."""
