//! The fleet by itself: what it decides, what it writes, and how several of them get on with one store.

mod churn;
mod commands;
mod faults;
mod plan;
mod records;
mod sight;
mod support;
