//! The command line: what it prints, what it refuses, and how it ends.

mod bad_input;
mod good;
mod support;
