"""Methods under test: each personalises a shared text-to-image backbone from captioned photographs."""
