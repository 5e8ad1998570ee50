//! What the `baton` program is made of, apart from its command line.

pub mod config;
