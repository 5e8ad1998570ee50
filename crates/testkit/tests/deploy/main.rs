//! The files in `deploy/`: each is read by the tool that it is for, and what they say must fit together and fit Baton.

mod boards;
mod chart;
mod compose;
mod expressions;
mod image;
mod metrics;
mod nginx;
mod prometheus;
mod store;
mod tools;
mod upstream;
