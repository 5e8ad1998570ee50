//! The files in `deploy/`: each is read by the tool that it is for, and what they say must fit together and fit Baton.

mod nginx;
mod tools;
mod upstream;
