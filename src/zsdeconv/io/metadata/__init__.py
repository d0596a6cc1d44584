"""What image files say about their images: statements, each with its source, and their units."""
