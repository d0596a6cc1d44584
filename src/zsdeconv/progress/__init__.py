"""How far a restoration is and how long it will take: the tree of its tasks, and those who show it."""
