"""Whether a restored image can be believed: what the data say about it, without any truth to compare with."""
