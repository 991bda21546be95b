//! Tests of lines, their bound and the last few.

use super::*;

const LINE: usize = 16 * 1024;
const RATE: u64 = 4 << 20;

/// What is given of chunks that come so many milliseconds after the beginning; updates are marked.
fn shown(chunks: &[(u64, &[u8])]) -> Vec<String> {
    let start = Instant::now();
    let mut lines = Lines::new(LINE, start);
    let mut seen = Vec::new();
    for (at, chunk) in chunks {
        let now = start + Duration::from_millis(*at);
        lines.feed(chunk, now, |line, update| {
            let mark = if update { "~" } else { "" };
            seen.push(format!("{mark}{}", String::from_utf8_lossy(line)));
        });
    }
    seen
}

#[test]
fn progress_is_shown_while_it_is_made() {
    // The return stands behind what is shown, before it, or is cut from its line's end.
    let behind: [(u64, &[u8]); 4] = [(0, b"1%\r"), (1, b"2%\r"), (2, b"3%\r"), (250, b"4%\r")];
    assert_eq!(shown(&behind), ["~1%", "~3%"]);
    let before: [(u64, &[u8]); 4] = [(0, b"\r1%"), (1, b"\r2%"), (2, b"\r3%"), (9, b"\n")];
    assert_eq!(shown(&before), ["~1%", "3%"]);
    let slow: [(u64, &[u8]); 4] = [(0, b"\r1"), (10, b"0%"), (100, b""), (400, b"")];
    assert_eq!(shown(&slow), ["~10%"], "once, and whole");
    assert_eq!(
        shown(&[(0, b"\r10%"), (400, b""), (500, b"\nend\n")]),
        ["~10%", "end"]
    );
    assert_eq!(
        shown(&[(0, b"a\r"), (0, b"\nb\r\n\r"), (0, b"\n")]),
        ["a", "b", ""]
    );
    let last: [(u64, &[u8]); 3] = [(0, b"1%\r2%\r"), (1, b"3%\r\x1b[2K\r"), (2, b"\x1b[0m\n")];
    assert_eq!(
        shown(&last),
        ["~1%", "3%"],
        "what is not written over stays"
    );
}

fn none(_: &[u8], _: bool) {
    panic!("nothing is due");
}

#[test]
fn an_update_has_a_time_at_which_it_is_due() {
    let start = Instant::now();
    let mut lines = Lines::new(LINE, start);
    lines.feed(b"open", start, none);
    assert_eq!(lines.due(), None, "a line without its end waits for it");
    lines.feed(b"\r", start, none);
    let mut seen = Vec::new();
    lines.feed(b"1%\r2%\r3", start, |line, _| seen.push(line.to_vec()));
    assert_eq!(seen, [b"2%"]);
    let due = start + UPDATES;
    assert_eq!(lines.due(), Some(due));
    lines.offer(due - Duration::from_millis(1), none);
    lines.offer(due, |line, update| {
        assert_eq!((line, update), (&b"3"[..], true))
    });
    assert_eq!(lines.due(), None, "it was given");
}

fn feed(chunks: &[&[u8]]) -> Vec<String> {
    let now = Instant::now();
    let mut lines = Lines::new(LINE, now);
    let mut seen = Vec::new();
    let mut keep = |line: &[u8], _: bool| seen.push(String::from_utf8_lossy(line).into_owned());
    for chunk in chunks {
        lines.feed(chunk, now, &mut keep);
    }
    lines.finish(&mut keep);
    seen
}

#[test]
fn lines_are_cut_at_their_ends() {
    assert_eq!(feed(&[b"a\nb", b"c\r\n\nd"]), ["a", "bc", "", "d"]);
    assert_eq!(feed(&[b"\xff\n"]), ["\u{fffd}"]);
    assert!(feed(&[b""]).is_empty());
}

#[test]
fn a_long_line_is_cut_and_marked() {
    let long = vec![b'x'; 3 * LINE];
    let seen = feed(&[&long, &long, b"\nshort\n"]);
    assert_eq!(seen.len(), 2);
    assert!(seen[0].len() < LINE + 64 && seen[0].ends_with("(cut: a longer line)"));
    assert_eq!(seen[1], "short");
}

#[test]
fn a_flood_is_bounded_and_counted() {
    let mut now = Instant::now();
    let mut flood = Flood::new(RATE, now);
    let passed = (0..100_000).filter(|_| flood.admit(1000)).count();
    assert_eq!(passed, usize::try_from(RATE).unwrap() / (1000 + LINE_COST));
    now += Duration::from_millis(100);
    flood.refill(now);
    assert!(
        !flood.admit(1000),
        "single lines out of context are left out"
    );
    now += Duration::from_millis(400);
    flood.refill(now);
    assert!(flood.recovered());
    let report = flood.report().unwrap();
    let lost = 100_000 - passed + 1;
    assert!(
        report.contains(&format!("{lost} lines ({} bytes)", lost * 1000)),
        "{report}"
    );
    assert!(flood.admit(1000));
    assert_eq!(flood.report(), None);
}

#[test]
fn the_tail_is_short_and_of_one_frame() {
    let mut tail = Tail::default();
    for n in 0..50 {
        tail.push(Some(1), &format!("line {n}"), false);
    }
    assert_eq!(tail.lines().len(), TAIL_LINES);
    assert_eq!(tail.lines()[0], "line 30");
    for update in [true, true] {
        tail.push(Some(2), &"ü".repeat(TAIL_LINE), update);
    }
    assert_eq!(tail.lines(), ["ü".repeat(TAIL_LINE / 2)]);
}
