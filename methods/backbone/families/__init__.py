"""The families of checkpoints behind one interface: what is particular to each of them."""
