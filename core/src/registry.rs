//! All tasks that are linked into the program, by name and by index.
