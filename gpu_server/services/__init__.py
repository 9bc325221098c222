"""Units and recipes with which a system starts a server: files to copy, without a module to import."""
