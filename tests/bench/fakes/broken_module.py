"""A module whose import fails."""

raise NameError("no such name")
