"""`make docs`: the parts of docs/ that the code itself says."""
