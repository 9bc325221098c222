"""`void-bridge install`: puts a plug-in where its host looks. Never part of a plug-in itself."""
