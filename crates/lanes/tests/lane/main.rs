//! The lane in a model world.

mod model;
mod property;
mod scenarios;
