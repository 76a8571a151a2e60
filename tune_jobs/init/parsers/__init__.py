"""Models of the packages that parse command lines, for the interpreter."""
