"""VOID (Netflix, 2026): a CogVideoX-based model that removes an object and what it did to the scene."""
