//! Tests of texts that are cut.

use super::*;
use crate::outcome::Cause;

#[test]
fn a_long_text_is_cut_between_characters_and_states_how_long_it_was() {
    for length in [0, 99, 100] {
        let mut text = "x".repeat(length);
        cut(&mut text, 100);
        assert_eq!(text, "x".repeat(length));
    }
    let mut text = "ä".repeat(1000);
    cut(&mut text, 101);
    assert!(text.len() <= 101 && text.starts_with("ää"), "{text}");
    assert!(text.ends_with("… (cut: 2000 bytes in all)"), "{text}");
    cut(&mut text, 80);
    assert!(text.len() <= 80, "{text}");
    assert!(text.ends_with("… (cut: 2000 bytes in all)"), "{text}");
}

#[test]
fn what_is_displayed_is_never_held_whole() {
    struct Long(usize);
    impl Display for Long {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (0..self.0).try_for_each(|_| f.write_str("0123456789"))
        }
    }
    assert_eq!(displayed(&Long(10), 100), "0123456789".repeat(10));
    let text = displayed(&Long(1_000), 100);
    assert!(text.len() <= 100, "{text}");
    assert!(text.ends_with("… (cut: 10000 bytes in all)"), "{text}");
}

#[test]
fn a_failure_is_cut_to_64_kib_and_keeps_its_last_cause() {
    let mut failure = Failure::new(Cause::Failed, "m".repeat(12 << 20));
    failure.chain = vec!["c".repeat(1 << 20); 500];
    failure.chain[63] = "root".to_owned();
    failure.output = vec!["o".repeat(1 << 20); 90];
    assert!(failure.is_long());
    let failure = failure.cut();
    assert!(!failure.is_long());
    let texts = failure.chain.iter().chain(&failure.output);
    let bytes = failure.message.len() + texts.map(String::len).sum::<usize>();
    assert!(bytes <= 64 << 10, "{bytes}");
    assert!(failure.message.ends_with("(cut: 12582912 bytes in all)"));
    assert_eq!(failure.chain.last().map(String::as_str), Some("root"));
    assert_eq!(failure.clone().cut(), failure);
    let short = Failure::new(Cause::Failed, "no such file");
    assert_eq!(short.clone().cut(), short);
}
