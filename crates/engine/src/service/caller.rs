//! What callers may do.
//!
//! The key of the configuration may do everything. A key that was given out has permissions: `admin`, or `read` and
//! `send`, each for all relayers or, as in `send:shop-1`, for one. Whoever may send for a relayer may read it.

use std::collections::BTreeSet;

use baton_edge::Caller;
use baton_model::RelayerId;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// To read something of any relayer.
    ReadAny,
    /// To read what concerns all relayers.
    ReadAll,
    /// To read a relayer.
    Read(&'a str),
    /// To act for a relayer: send, cancel, replace, sign.
    Send(&'a str),
    /// Everything.
    Admin,
}

/// What a caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    admin: bool,
    read: Scope,
    send: Scope,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope {
    all: bool,
    relayers: BTreeSet<String>,
}

impl Rights {
    /// Those of a caller. A permission that this release does not know gives nothing.
    pub fn of(caller: Option<&Caller>) -> Self {
        let issued = caller.and_then(|caller| caller.issued.as_ref());
        let Some(issued) = issued else {
            return Self {
                admin: true,
                ..Self::default()
            };
        };
        let mut rights = Self::default();
        for permission in &issued.permissions {
            let _unknown: Result<(), String> = rights.add(permission);
        }
        rights
    }

    /// Adds what a permission gives.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn add(&mut self, permission: &str) -> Result<(), String> {
        let refuse = || {
            format!(
                "permissions must be admin, read, send, read:<relayer id> or send:<relayer id>; \
                 found {permission:?}"
            )
        };
        let (what, relayer) = match permission.split_once(':') {
            None => (permission, None),
            Some((what, relayer)) => {
                let relayer = RelayerId::new(relayer).map_err(|_| refuse())?;
                (what, Some(relayer.to_string()))
            }
        };
        let scope = match (what, &relayer) {
            ("admin", None) => {
                self.admin = true;
                return Ok(());
            }
            ("read", _) => &mut self.read,
            ("send", _) => &mut self.send,
            (_, _) => return Err(refuse()),
        };
        scope.all |= relayer.is_none();
        scope.relayers.extend(relayer);
        Ok(())
    }

    /// Whether they include something.
    pub fn include(&self, need: Need<'_>) -> bool {
        self.admin
            || match need {
                Need::Admin => false,
                Need::ReadAll => self.read.all || self.send.all,
                Need::ReadAny => self.read.is_any() || self.send.is_any(),
                Need::Read(relayer) => self.read.has(relayer) || self.send.has(relayer),
                Need::Send(relayer) => self.send.has(relayer),
            }
    }
}

impl Scope {
    fn has(&self, relayer: &str) -> bool {
        self.all || self.relayers.contains(relayer)
    }

    fn is_any(&self) -> bool {
        self.all || !self.relayers.is_empty()
    }
}

impl Need<'_> {
    /// A permission that is enough, for messages.
    pub fn permission(self) -> String {
        match self {
            Self::ReadAny | Self::ReadAll => "read".to_owned(),
            Self::Read(relayer) => format!("read:{relayer}"),
            Self::Send(relayer) => format!("send:{relayer}"),
            Self::Admin => "admin".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_give_what_they_say_and_no_more() {
        let needs = [
            Need::ReadAny,
            Need::ReadAll,
            Need::Read("a"),
            Need::Read("b"),
            Need::Send("a"),
            Need::Send("b"),
            Need::Admin,
        ];
        for (permissions, expected) in [
            (&["admin"][..], "yyyyyyy"),
            (&["read"], "yyyynnn"),
            (&["send"], "yyyyyyn"),
            (&["read:a"], "ynynnnn"),
            (&["send:a"], "ynynynn"),
            (&["read:a", "send:b"], "ynyynyn"),
            (&[], "nnnnnnn"),
        ] {
            let mut rights = Rights::default();
            for permission in permissions {
                rights.add(permission).unwrap();
            }
            let found = needs.map(|need| if rights.include(need) { 'y' } else { 'n' });
            assert_eq!(String::from_iter(found), expected, "{permissions:?}");
        }
    }

    #[test]
    fn what_is_no_permission_is_refused() {
        for permission in [
            "", "all", "Read", "read:", "read:a b", "admin:a", "read:a:b", "send:*",
        ] {
            let refused = Rights::default().add(permission).unwrap_err();
            assert!(
                refused.ends_with(&format!("found {permission:?}")),
                "{refused}"
            );
        }
    }
}
