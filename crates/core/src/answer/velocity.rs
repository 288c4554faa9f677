//! How often a key was seen of late, in bounded memory.
