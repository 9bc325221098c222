"""The morph check: whether objects in the result of pass 1 keep their shape and their appearance."""
