//! What happened in a run, line by line, short enough to read.

use std::fmt::Write as _;

/// Hexadecimal characters of a long number or id that are shown: enough to tell them apart within one run.
const SHOWN: usize = 8;

/// A run's trace.
#[derive(Default)]
pub(crate) struct Trace(String);

impl Trace {
    pub(crate) fn line(&mut self, now_ms: u64, process: Option<usize>, text: &str) {
        let (seconds, millis) = (now_ms / 1000, now_ms % 1000);
        let who = process.map_or_else(|| "--".to_owned(), |process| format!("p{process}"));
        let text = shortened(text);
        writeln!(self.0, "{seconds:>5}.{millis:03} {who:<4} {text}")
            .expect("a text can be written to");
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// The text with long numbers cut: hashes and ids to their beginning, padded numbers to what is not padding.
fn shortened(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        short.push_str(shortened_word(word));
        let next = after.chars().next().map_or(0, char::len_utf8);
        short.push_str(&after[..next]);
        rest = &after[next..];
    }
    short
}

fn shortened_word(word: &str) -> &str {
    const LONG: usize = 15;
    if word.len() < LONG {
        return word;
    }
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let bare = digits.trim_start_matches('0');
    if bare.len() + 4 < digits.len() {
        return if bare.is_empty() { "0" } else { bare };
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return word;
    }
    &digits[..SHOWN]
}

const fn is_part(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '-' || c == 'x'
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn what_is_long_is_cut_and_what_is_short_is_kept() {
        let id = "r/b1e381c1-6577-4eb6-a88b-b91d599e6896 w=1/2";
        assert_eq!(shortened(id), "r/b1e381c1 w=1/2");
        let slot = "s/00000000000000000000000000000000acc00000/00000000000000000089 done";
        assert_eq!(shortened(slot), "s/acc00000/89 done");
        let hash = "0x21ba69ebd7a1209008926bfd8962711895ae7a5051053cc386652fdf2341fa2e!";
        assert_eq!(shortened(hash), "21ba69eb!");
        assert_eq!(
            shortened("at 1000000000: [] für 12 s"),
            "at 1000000000: [] für 12 s"
        );
        assert_eq!(shortened("o/00000000000000000000"), "o/0");
    }
}
