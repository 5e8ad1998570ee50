//! The bounds of a scan, as the sorted set takes them.

use baton_coord::Scan;

/// The command and its two bounds.
pub(crate) fn bounds(scan: &Scan) -> (&'static str, Vec<u8>, Vec<u8>) {
    let (low, high) = (low(scan), high(scan));
    if scan.reverse {
        ("ZREVRANGEBYLEX", high, low)
    } else {
        ("ZRANGEBYLEX", low, high)
    }
}

fn low(scan: &Scan) -> Vec<u8> {
    match &scan.after {
        Some(after) if !scan.reverse && *after >= scan.prefix => bound(b'(', after),
        _ if scan.prefix.is_empty() => b"-".to_vec(),
        _ => bound(b'[', &scan.prefix),
    }
}

fn high(scan: &Scan) -> Vec<u8> {
    let end = beyond(&scan.prefix);
    match (&scan.after, end) {
        (Some(after), Some(end)) if scan.reverse && **after < end[..] => bound(b'(', after),
        (Some(after), None) if scan.reverse => bound(b'(', after),
        (_, Some(end)) => bound(b'(', &end),
        (_, None) => b"+".to_vec(),
    }
}

/// The first key behind all that begin with a prefix; `None` if all that follow do.
fn beyond(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn bound(kind: u8, key: &[u8]) -> Vec<u8> {
    [&[kind], key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_the_next_begins() {
        assert_eq!(beyond(b""), None);
        assert_eq!(beyond(b"\xff\xff"), None);
        assert_eq!(beyond(b"a"), Some(b"b".to_vec()));
        assert_eq!(beyond(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(beyond(b"a\xfe"), Some(b"a\xff".to_vec()));
    }
}
