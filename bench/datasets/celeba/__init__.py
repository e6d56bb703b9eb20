"""CelebA: annotations, captions, identities."""
