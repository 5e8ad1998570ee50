//! What counts when a file and the API both said something.
//!
//! A change over the API counts for as long as the file says of the thing what it said when the change was made. When
//! the file says something else, the file counts: whoever edited it did so knowing less of the API than the API knew of
//! it, and an edit without effect would be the greater surprise. So:
//!
//! | file | API | counts |
//! |---|---|---|
//! | says it | nothing | the file |
//! | says it, as it did then | changed or removed it | the API |
//! | says it, otherwise than then | changed or removed it | the file |
//! | says nothing, nor did then | made it | the API |
//! | says nothing any more | changed it | nothing: it is gone |
//! | says it now | made it, when the file did not | the file |

use std::collections::BTreeMap;

use baton_lanes::record::Record;
use baton_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::defs::Definition;

/// What was said of one thing over the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change<T> {
    /// What the file said of it then; `None` when it said nothing.
    pub base: Option<T>,
    /// What it is now; `None` when it was removed.
    pub now: Option<T>,
    /// When it was made over the API, or first changed.
    pub made_at: Timestamp,
}

impl<T: Definition> Record for Change<T> {
    const WHAT: &'static str = T::WHAT;
}

impl<T: Definition> Change<T> {
    /// Whether it counts beside what the file says now.
    pub fn counts(&self, file: Option<&T>) -> bool {
        match (&self.base, file) {
            (None, None) => true,
            (Some(then), Some(now)) => now.says_same(then),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

/// Everything that is there: what the file says, in its order, then what was made over the API, oldest first.
pub fn merge<T: Definition>(file: &[T], changes: &BTreeMap<String, Change<T>>) -> Vec<T> {
    let of_file = file.iter().filter_map(|said| {
        let change = changes.get(said.id());
        match change.filter(|change| change.counts(Some(said))) {
            None => Some(said.clone()),
            Some(Change { now: None, .. }) => None,
            Some(Change { now: Some(now), .. }) => Some(said.changed(now)),
        }
    });
    let mut all: Vec<T> = of_file.collect();
    let said = |id: &str| file.iter().any(|one| one.id() == id);
    let mut made: Vec<(&String, &Change<T>)> = changes
        .iter()
        .filter(|(id, change)| !said(id) && change.counts(None))
        .collect();
    made.sort_by_key(|(id, change)| (change.made_at, *id));
    all.extend(
        made.into_iter()
            .filter_map(|(_, change)| change.now.clone()),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_vault::Secret;

    use crate::registry::NotificationDef;

    fn hook(id: &str, url: &str) -> NotificationDef {
        NotificationDef {
            id: id.to_owned(),
            url: Some(Secret::new(url)),
            signing_key: None,
            events: Vec::new(),
        }
    }

    fn said(base: Option<&str>, now: Option<&str>, at: u64) -> (String, Change<NotificationDef>) {
        let def = |url: &str| hook("a", url);
        let change = Change {
            base: base.map(def),
            now: now.map(def),
            made_at: Timestamp::from_millis(at),
        };
        ("a".to_owned(), change)
    }

    fn merged(
        file: Option<&str>,
        change: Option<(String, Change<NotificationDef>)>,
    ) -> Option<String> {
        let file: Vec<_> = file.into_iter().map(|url| hook("a", url)).collect();
        let all = merge(&file, &change.into_iter().collect());
        assert!(all.len() < 2);
        let url = all.into_iter().next()?.url;
        url.map(|url| url.expose().to_owned())
    }

    #[test]
    fn every_row_of_the_table() {
        let rows = [
            (Some("f"), None, Some("f")),
            (
                Some("f"),
                Some(said(Some("f"), Some("api"), 1)),
                Some("api"),
            ),
            (Some("f"), Some(said(Some("f"), None, 1)), None),
            (Some("g"), Some(said(Some("f"), Some("api"), 1)), Some("g")),
            (Some("g"), Some(said(Some("f"), None, 1)), Some("g")),
            (None, Some(said(None, Some("api"), 1)), Some("api")),
            (None, Some(said(Some("f"), Some("api"), 1)), None),
            (None, Some(said(Some("f"), None, 1)), None),
            (Some("g"), Some(said(None, Some("api"), 1)), Some("g")),
            (None, None, None),
        ];
        for (index, (file, change, expected)) in rows.into_iter().enumerate() {
            assert_eq!(merged(file, change).as_deref(), expected, "row {index}");
        }
    }

    #[test]
    fn the_order_is_the_files_then_that_of_making() {
        let change = |id: &str, at: u64| {
            let change = Change {
                base: None,
                now: Some(hook(id, "api")),
                made_at: Timestamp::from_millis(at),
            };
            (id.to_owned(), change)
        };
        let changes = [change("c", 1), change("a", 2), change("b", 2)].into();
        let all = merge(&[hook("z", "f"), hook("y", "f")], &changes);
        let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["z", "y", "c", "a", "b"]);
    }
}
