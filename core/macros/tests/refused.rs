//! What the attributes refuse, and in which words: `tests/refused/*.stderr` hold them.

#[test]
fn refusals_are_clear_and_stand_at_their_span() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
