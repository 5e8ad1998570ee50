//! The shared store: Redis 6.2 and later, or Valkey, standalone, behind Sentinel or as a cluster.
//!
//! All keys of a lane share its hash tag. A batch is one server-side script that checks the fence and the preconditions
//! and applies everything, or nothing. Scripts are called by digest on one multiplexed connection for each server, so
//! what many lanes send at once travels together.
//!
//! # What is promised, and by whom
//!
//! - **A commit that was answered is applied, atomically.** Whether it survives the loss of the server is the server's
//!   to say: with `appendfsync always` it does; with `everysec` a crash of the machine can take back the last second;
//!   a failover takes back what had not reached the replica. `min-replicas-to-write` bounds the latter.
//! - **A commit without an answer is unknown**, also when the connection broke before anything was read. It is never
//!   repeated here. Only where the server said that it did nothing is a batch sent again.
//! - **Loss is noticed.** A server loses data only by starting again, or by another server taking its place. Each lease
//!   remembers the run of the server that gave it, and is lost when the lane is served by another: whoever held the
//!   lane takes it again and compares it with the chain. Epochs and versions are at least the server's time in
//!   microseconds, so none is given twice even where the record of it is gone. Moving a cluster's slot costs the lanes
//!   in it their leases too, although nothing is lost.
//! - **Two masters are possible for a while**, as Redis replicates without waiting: one that was cut off from its
//!   replicas goes on taking writes and renewals that will be gone, and fences do not help across servers. Set
//!   `min-replicas-to-write 1` and a `min-replicas-max-lag` below the lease: then it refuses both, and its holders stop
//!   when their leases have run out. Behind Sentinel the master is also asked for every second.
//! - **Calls of one task are applied in the order in which it made them**, also when many are under way; only around a
//!   `SCRIPT FLUSH` or a moved slot may those that it did not await change places.
//! - **Leases run by the server's clock**, epochs and fences are checked by the server, within the script.
//! - **Wake-ups are best effort**: one subscribing connection for each process; when it breaks, everybody is told to
//!   look.
//!
//! # What a server has to allow
//!
//! - A `maxmemory-policy` of `noeviction`, or one of the `volatile-` policies: no key of Baton expires. With any other
//!   the store does not open. A full memory refuses batches that put or append without a fence; what holders of
//!   lanes write, leases and deletes go on.
//! - To the ACL user: keys and channels that begin with the prefix, and `+@connection +info +evalsha +script|load +hget
//!   +hset +hdel +hmget +zadd +zrem +zrangebylex +zrevrangebylex +xadd +xtrim +xrange +time +publish +subscribe
//!   +unsubscribe`; `+select` for a database other than 0, `+cluster|slots +asking` on a cluster.
//! - Seven connections for each process, and for each master of a cluster six more.
//!
//! # The client library
//!
//! `redis` (redis-rs) rather than `fred`: it is kept by Redis' own people with releases every few weeks, it builds on
//! rustls with ring and few features, and its multiplexed connection can be used without its retries. The cluster and
//! reconnecting connections of both libraries repeat commands on their own, which a batch must never be; so routes,
//! redirects and reconnection are decided here, where it is known what is safe to repeat.

mod call;
mod cluster;
mod commit;
mod error;
mod events;
mod holding;
mod keys;
mod lanes;
mod lease;
mod leases;
mod link;
mod log;
mod nodes;
mod options;
mod publisher;
mod range;
mod reply;
mod scripts;
mod sentinel;
mod server;
mod settings;
mod store;
mod table;
mod url;

pub use error::OpenError;
pub use holding::Holding;
pub use options::{Address, Credentials, Options, Servers, Tls};
pub use settings::check_prefix;
pub use store::RedisStore;
pub use url::UrlError;
