"""`bench votes`: a blind comparison of images by people, and what their votes show."""
