"""What the plots of a paper and of the page have in common: styles, points, places of labels."""
