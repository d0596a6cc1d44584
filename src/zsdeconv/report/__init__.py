"""How far a restored image can be trusted: checks that compare it with the data, for the true object is not known."""
