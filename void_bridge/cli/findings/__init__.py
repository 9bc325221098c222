"""What the doctor looks at, a module for each kind. Checks of what other packages own are registered by them."""
