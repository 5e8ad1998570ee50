//! Names of relayers, requests and lanes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest relayer id, in bytes: OpenZeppelin Relayer's rule, kept for its configurations.
const RELAYER_ID_MAX: usize = 36;
/// Longest lane id, in bytes: a service prefix and a relayer id or an address fit with room to spare.
const LANE_ID_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// More bytes than the limit.
    #[error("{what} has {length} bytes, at most {max} are allowed")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character outside the allowed set.
    #[error("{what} contains {found:?}; allowed are letters, digits and {punctuation}")]
    Character {
        /// Which id.
        what: &'static str,
        /// The offending character.
        found: char,
        /// The punctuation that is allowed besides letters and digits.
        punctuation: &'static str,
    },
    /// Not a UUID.
    #[error("{value:?} is not a UUID")]
    NotUuid {
        /// The text given.
        value: String,
    },
}

/// The id by which callers address a relayer: 1 to 36 of `A-Z a-z 0-9 - _`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayerId(String);

impl RelayerId {
    /// Checks and wraps an id.
    pub fn new(id: impl Into<String>) -> Result<Self, IdError> {
        let id = id.into();
        check("relayer id", &id, RELAYER_ID_MAX, "-_")?;
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The lane that runs this relayer's transactions.
    pub fn lane(&self) -> LaneId {
        LaneId(format!("tx/{}", self.0))
    }
}

/// The id of a request, given to the caller when it is accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Wraps a UUID; whoever creates one supplies the randomness.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The 16 bytes of the UUID.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The id of a lane: 1 to 128 of `A-Z a-z 0-9 - _ / . :`. Backends may use it as a hash tag, so it never holds braces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LaneId(String);

impl LaneId {
    /// Checks and wraps an id.
    pub fn new(id: impl Into<String>) -> Result<Self, IdError> {
        let id = id.into();
        check("lane id", &id, LANE_ID_MAX, "-_/.:")?;
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(
    what: &'static str,
    id: &str,
    max: usize,
    punctuation: &'static str,
) -> Result<(), IdError> {
    if id.is_empty() {
        return Err(IdError::Empty { what });
    }
    if id.len() > max {
        return Err(IdError::TooLong {
            what,
            length: id.len(),
            max,
        });
    }
    match id
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !punctuation.contains(*c))
    {
        Some(found) => Err(IdError::Character {
            what,
            found,
            punctuation,
        }),
        None => Ok(()),
    }
}

impl fmt::Display for RelayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RequestId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| IdError::NotUuid {
                value: text.to_owned(),
            })
    }
}

impl TryFrom<String> for RelayerId {
    type Error = IdError;

    fn try_from(id: String) -> Result<Self, IdError> {
        Self::new(id)
    }
}

impl From<RelayerId> for String {
    fn from(id: RelayerId) -> Self {
        id.0
    }
}

impl TryFrom<String> for LaneId {
    type Error = IdError;

    fn try_from(id: String) -> Result<Self, IdError> {
        Self::new(id)
    }
}

impl From<LaneId> for String {
    fn from(id: LaneId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayer_ids_follow_the_rule() {
        assert!(RelayerId::new("sepolia-example_1").is_ok());
        assert_eq!(
            RelayerId::new(""),
            Err(IdError::Empty { what: "relayer id" })
        );
        assert!(matches!(
            RelayerId::new("a".repeat(37)),
            Err(IdError::TooLong {
                length: 37,
                max: 36,
                ..
            })
        ));
        assert!(matches!(
            RelayerId::new("a b"),
            Err(IdError::Character { found: ' ', .. })
        ));
    }

    #[test]
    fn lane_ids_never_hold_braces() {
        assert!(LaneId::new("tx/{a}").is_err());
        assert_eq!(RelayerId::new("a").unwrap().lane().as_str(), "tx/a");
    }
}
