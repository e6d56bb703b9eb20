"""`bench doctor`: checks that everything a suite needs is installed."""
