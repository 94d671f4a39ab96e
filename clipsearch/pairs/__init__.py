"""Photos and what is said of them: captions or labels, from the layouts people keep them in."""
