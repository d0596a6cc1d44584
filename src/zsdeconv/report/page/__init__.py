"""The page of a report: thumbnails of images, figures, words and HTML."""
