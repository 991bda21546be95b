//! A call's key, as lines, errors and notices show it.

use std::fmt;

/// Most characters of a key that are shown.
const SHOWN: usize = 80;

/// A key in quotes, with control characters escaped. Of a key of more than 80 characters the first 80 are shown, and `…`.
#[derive(Clone, Copy, Debug)]
pub struct ShownKey<'a>(pub &'a str);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_on_one_line_and_is_cut() {
        assert_eq!(ShownKey("BTC").to_string(), "\"BTC\"");
        let hostile = "a\nb\u{1b}[2J\u{202e}\"]";
        let shown = "\"a\\nb\\u{1b}[2J\\u{202e}\\\"]\"";
        assert_eq!(ShownKey(hostile).to_string(), shown);
        let long = "é".repeat(SHOWN);
        assert_eq!(ShownKey(&long).to_string(), format!("\"{long}\""));
        let longer = format!("{long}x");
        assert_eq!(ShownKey(&longer).to_string(), format!("\"{long}\"…"));
    }
}
