"""Training of the two evaluation networks of the built-in synthetic benchmark; no method uses them."""
