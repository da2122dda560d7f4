"""Images as a microscope would give them: phantoms of cells, and the grain of real images."""
