"""The page of a report: figures, thumbnails, words, HTML."""
