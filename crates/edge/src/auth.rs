//! Who is calling.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::RateLimit;

/// The keys that open the API. Only digests are kept, so there is nothing to leak; digests of equal
/// length also make the comparison independent of the length of the keys.
#[derive(Clone)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
    names: Vec<String>,
    issued: Option<Arc<dyn IssuedKeys>>,
}

/// Keys that come and go while the process runs.
pub trait IssuedKeys: Send + Sync {
    /// The key with this SHA-256. The keys must be random and long, so that the time that looking
    /// takes tells nothing: whoever can choose a digest's beginning knows no key with it.
    fn find(&self, digest: &[u8; 32]) -> Option<Arc<IssuedKey>>;
}

/// A key that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedKey {
    /// Its id, which is not secret.
    pub id: String,
    /// Its name, for logs.
    pub name: String,
    /// What it may do, in the words of the service that is called.
    pub permissions: Vec<String>,
    /// Origins of web pages that it may be used from, `*` for all. Calls without an `Origin` do not
    /// come from a page.
    pub origins: Vec<String>,
    /// How often it may be used; `None` for as often as any other.
    pub rate: Option<RateLimit>,
}

/// An authenticated caller, found in the extensions of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the key that was used.
    pub name: String,
    /// The key, if it was given out; what opened the API otherwise may do everything.
    pub issued: Option<Arc<IssuedKey>>,
    /// Place among the keys that were not.
    pub(crate) index: usize,
}

impl ApiKeys {
    /// Keys with their names; names appear in logs. An empty key is never accepted from a caller.
    pub fn new<'a>(keys: impl IntoIterator<Item = (String, &'a str)>) -> Self {
        let (names, digests) = keys
            .into_iter()
            .map(|(name, key)| (name, key_digest(key)))
            .unzip();
        Self {
            digests,
            names,
            issued: None,
        }
    }

    /// Opens the API to keys that are given out, too.
    #[must_use]
    pub fn and_issued(mut self, issued: Arc<dyn IssuedKeys>) -> Self {
        self.issued = Some(issued);
        self
    }

    /// How many keys there are that are not given out.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is no key, so that nobody can be authenticated.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// The caller whose key the headers carry: exactly one `Authorization` header that reads
    /// `Bearer`, one space, and a token without spaces.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Option<Caller> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (value, None) = (values.next()?, values.next()) else {
            return None;
        };
        let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
        if token.is_empty() || token.contains(' ') {
            return None;
        }
        let digest = key_digest(token);
        if let Some(index) = self.find(&digest) {
            return Some(Caller {
                name: self.names[index].clone(),
                issued: None,
                index,
            });
        }
        let issued = self.issued.as_ref()?.find(&digest)?;
        Some(Caller {
            name: issued.name.clone(),
            issued: Some(issued),
            index: 0,
        })
    }

    /// Looks at every key whatever it finds, so that the time taken tells nothing.
    fn find(&self, token: &[u8; 32]) -> Option<usize> {
        let mut found = Choice::from(0);
        let mut index = 0_u64;
        for (place, known) in (0_u64..).zip(&self.digests) {
            let equal = known.ct_eq(token);
            index.conditional_assign(&place, equal);
            found |= equal;
        }
        bool::from(found)
            .then_some(index)
            .and_then(|index| usize::try_from(index).ok())
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What is kept of a key: its SHA-256. Keys are random and long, so no slower hash is needed.
pub fn key_digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn caller(keys: &ApiKeys, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        keys.authenticate(&headers).map(|caller| caller.name)
    }

    #[test]
    fn each_key_is_known_by_its_name() {
        let keys = ApiKeys::new([("first".to_owned(), "aaaa"), ("second".to_owned(), "bbbb")]);
        assert_eq!(caller(&keys, &["Bearer aaaa"]).as_deref(), Some("first"));
        assert_eq!(caller(&keys, &["Bearer bbbb"]).as_deref(), Some("second"));
        assert_eq!(caller(&keys, &["Bearer cccc"]), None);
    }

    #[test]
    fn an_empty_key_opens_nothing() {
        let keys = ApiKeys::new([("empty".to_owned(), "")]);
        assert_eq!(caller(&keys, &["Bearer "]), None);
        let none = ApiKeys::new([]);
        assert_eq!(caller(&none, &["Bearer "]), None);
        assert_eq!(caller(&none, &["Bearer x"]), None);
    }

    #[test]
    fn keys_that_were_given_out_open_until_they_are_gone() {
        struct One(IssuedKey);
        impl IssuedKeys for One {
            fn find(&self, digest: &[u8; 32]) -> Option<Arc<IssuedKey>> {
                (*digest == key_digest("issued")).then(|| Arc::new(self.0.clone()))
            }
        }
        let issued = IssuedKey {
            id: "1".to_owned(),
            name: "shop".to_owned(),
            permissions: vec!["read".to_owned()],
            origins: Vec::new(),
            rate: None,
        };
        let keys = ApiKeys::new([("first".to_owned(), "aaaa")]);
        assert_eq!(caller(&keys, &["Bearer issued"]), None);
        let keys = keys.and_issued(Arc::new(One(issued)));
        assert_eq!(caller(&keys, &["Bearer issued"]).as_deref(), Some("shop"));
        assert_eq!(caller(&keys, &["Bearer aaaa"]).as_deref(), Some("first"));
        assert_eq!(caller(&keys, &["Bearer other"]), None);
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = ApiKeys::new([("first".to_owned(), "hunter2")]);
        assert!(!format!("{keys:?}").contains("hunter2"));
    }
}
