"""Training of the two evaluation networks of the embedded world, which no method conditions on."""
