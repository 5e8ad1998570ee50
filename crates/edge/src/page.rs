//! Which part of a list a caller wants.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::ApiError;

/// Most items on a page. A page is held in memory as records and again as JSON; a thousand of the
/// largest records are some megabytes. More is refused, not cut down to this: a page with fewer
/// items than were asked for looks like the end of the list.
pub const PER_PAGE_MAX: u32 = 1000;
const PER_PAGE_DEFAULT: u32 = 10;

/// The `page` and `per_page` of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// Reads a query string. `page` counts from 1 and is 1 when absent; `per_page` is 1 to
    /// [`PER_PAGE_MAX`] and 10 when absent. Other parameters are left alone.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut number = None;
        let mut size = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "page" => set(&mut number, "page", u32::MAX, &value)?,
                "per_page" => set(&mut size, "per_page", PER_PAGE_MAX, &value)?,
                _ => {}
            }
        }
        Ok(Self {
            number: number.unwrap_or(1),
            size: size.unwrap_or(PER_PAGE_DEFAULT),
        })
    }

    /// Number of the page, counted from 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// Most items on the page.
    pub const fn size(self) -> u32 {
        self.size
    }

    /// How many items come before the page.
    pub const fn offset(self) -> u64 {
        // Both factors are below 2^32.
        (self.number as u64 - 1) * self.size as u64
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

fn set(slot: &mut Option<u32>, name: &str, max: u32, value: &str) -> Result<(), ApiError> {
    let parsed = value
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number));
    let Some(number) = parsed else {
        let rule = format!("{name} must be a whole number from 1 to {max}; found {value:?}");
        return Err(ApiError::bad_request(rule));
    };
    if slot.replace(number).is_some() {
        return Err(ApiError::bad_request(format!(
            "{name} must be given once; found it twice"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_for_what_is_absent() {
        for (query, number, size, offset) in [
            ("", 1, 10, 0),
            ("page=3", 3, 10, 20),
            ("per_page=1000&page=2", 2, 1000, 1000),
            ("status=pending&page=1", 1, 10, 0),
            (
                "page=4294967295&per_page=1000",
                u32::MAX,
                1000,
                4_294_967_294_000,
            ),
        ] {
            let page = Page::parse(query).unwrap();
            assert_eq!(
                (page.number(), page.size(), page.offset()),
                (number, size, offset)
            );
        }
    }
}
