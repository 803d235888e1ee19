"""A package, so that pytest does not take the folder above for the package `bench`."""
