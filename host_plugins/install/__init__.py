"""`void-bridge install`: installs a plug-in where its host looks for it. It is not part of the plug-ins."""
