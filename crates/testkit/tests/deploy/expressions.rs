//! Which metrics an expression of Prometheus names.

/// Words of the language that stand where a metric could.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];
/// Words before a list of labels.
const LABELS_FOLLOW: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// The metrics in an expression. Labels, functions, texts and durations are none.
pub(crate) fn metrics(expression: &str) -> Vec<String> {
    let bare = without_selectors(expression);
    let mut found = Vec::new();
    let mut labels = false;
    let mut rest = bare.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let tail = &rest[start..];
        let end = tail
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(tail.len());
        let (word, after) = tail.split_at(end);
        labels = labels && !rest[..start].contains(')');
        // `sum(x)`, `sum by (y) (x)`
        let calls = ["(", "by ", "without "]
            .iter()
            .any(|next| after.trim_start().starts_with(next));
        if LABELS_FOLLOW.contains(&word) {
            labels = true;
        } else if !labels
            && !calls
            && !WORDS.contains(&word)
            && !word.starts_with(|c: char| c.is_ascii_digit())
        {
            found.push(word.to_owned());
        }
        rest = after;
    }
    found
}

/// Without what stands in braces, brackets or quotes.
fn without_selectors(expression: &str) -> String {
    let mut bare = String::new();
    let (mut quoted, mut depth) = (false, 0);
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
        if depth == 0 && !quoted && ('}' == c || ']' == c) {
            bare.push(' ');
        }
    }
    bare
}

#[test]
fn metrics_are_told_from_everything_else() {
    let expression = r#"histogram_quantile(0.99, sum by (instance, le) (rate(a_bucket{x=~"b(c)|{d}"}[5m]))) > 1
                        unless on (e) f_total offset 15m or vector(0) / (g > 1e3)"#;
    assert_eq!(metrics(expression), ["a_bucket", "f_total", "g"]);
}
