"""Units and recipes by which a system starts a server: files to copy, nothing to import."""
