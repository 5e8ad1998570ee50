//! Devnets, faults and the simulator: development only.

mod anvil;
mod nginx;
mod proxy;
mod redis;
pub mod signers;
mod tcp;

pub use anvil::{Anvil, AnvilError, AnvilOptions, Mining};
pub use nginx::{Nginx, NginxError, nginx_program, write_nginx_files};
pub use proxy::{
    Broadcast, Delay, Fault, FaultRule, GappedOverflow, Moment, Outage, PoolRules, Proxy,
    ProxyControl, ProxyError, ProxyOptions, ProxyTrace, Refusal, RefusalReason, RuleId, Stale,
    When,
};
pub use redis::{RedisCluster, RedisError, RedisSentinel, RedisServer, RedisSession};
pub use tcp::TcpProxy;
