"""One photo: find it, open it safely, orient it, describe it, make it a tower's input."""
