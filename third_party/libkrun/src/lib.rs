//! Nothing: what is wanted is the dependency, which is a shared library.
