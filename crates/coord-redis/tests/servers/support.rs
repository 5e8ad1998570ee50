//! Options for servers that tests start.

use std::time::Duration;

use baton_coord_redis::{Address, Options, Servers};

pub(crate) fn at(port: u16) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

pub(crate) fn standalone(port: u16) -> Options {
    patient(Options::new(Servers::Standalone(at(port))))
}

/// Machines that run tests are busy.
pub(crate) fn patient(mut options: Options) -> Options {
    options.connect_timeout = Duration::from_secs(10);
    options.search_timeout = Duration::from_secs(20);
    options.answer_timeout = Duration::from_secs(20);
    options
}

/// Gives up soon: for tests in which servers do not answer.
pub(crate) fn hasty(mut options: Options) -> Options {
    options.connect_timeout = Duration::from_secs(1);
    options.search_timeout = Duration::from_secs(1);
    options.answer_timeout = Duration::from_secs(1);
    options
}
