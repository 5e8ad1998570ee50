//! The files in `deploy/`: each is read by the tool that it is for, and what they say must fit together and fit Baton.

#[cfg(test)]
mod boards;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod expressions;
#[cfg(test)]
mod image;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod upstream;
