"""Methods from outside the catalogue, written as a package of its own would write them."""
