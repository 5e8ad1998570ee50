//! Devnets, faults and the simulator: development only.

mod anvil;
mod proxy;

pub use anvil::{Anvil, AnvilError, AnvilOptions, Mining};
pub use proxy::{
    Broadcast, Delay, Fault, FaultRule, GappedOverflow, Moment, Outage, PoolRules, Proxy,
    ProxyControl, ProxyError, ProxyOptions, ProxyTrace, Refusal, RefusalReason, RuleId, Stale,
    When,
};
