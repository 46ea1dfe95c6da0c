//! All unsafe code: the operating system behind safe functions
