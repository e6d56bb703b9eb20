"""Identities and their photographs."""
