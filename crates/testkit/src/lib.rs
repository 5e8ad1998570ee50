//! Devnets, faults and the simulator: development only.

mod anvil;
mod proxy;
mod redis;
pub mod signers;
mod tcp;

pub use anvil::{Anvil, AnvilError, AnvilOptions, Mining};
pub use proxy::{
    Broadcast, Delay, Fault, FaultRule, GappedOverflow, Moment, Outage, PoolRules, Proxy,
    ProxyControl, ProxyError, ProxyOptions, ProxyTrace, Refusal, RefusalReason, RuleId, Stale,
    When,
};
pub use redis::{RedisCluster, RedisError, RedisSentinel, RedisServer};
pub use tcp::TcpProxy;
