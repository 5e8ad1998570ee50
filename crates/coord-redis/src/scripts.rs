//! The scripts, and the digests by which they are called.

use redis::Script;

/// All scripts that a server has to know.
pub(crate) struct Scripts {
    pub(crate) commit: Text,
    pub(crate) lease: Text,
    pub(crate) scan: Text,
    pub(crate) read: Text,
}

/// A script as it is sent, once, and its digest, by which it is called.
pub(crate) struct Text {
    pub(crate) source: &'static str,
    pub(crate) digest: String,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let text = |source| Text {
            source,
            digest: Script::new(source).get_hash().to_owned(),
        };
        Self {
            commit: text(include_str!("scripts/commit.lua")),
            lease: text(include_str!("scripts/lease.lua")),
            scan: text(include_str!("scripts/scan.lua")),
            read: text(include_str!("scripts/read.lua")),
        }
    }

    pub(crate) const fn all(&self) -> [&Text; 4] {
        [&self.commit, &self.lease, &self.scan, &self.read]
    }
}
