//! Whole programs whose streams, sinks or subscribers are blocked: the pool continues.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The longest time of one program: its own limit for one step is 10 s, and it has several short ones.
const LIMIT: Duration = Duration::from_secs(25);

fn start(part: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_output-blocked"))
        .args(part)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

/// Runs a part to its end, and reads both of its streams.
async fn run(part: &[&str]) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(LIMIT, start(part).wait_with_output())
        .await
        .expect("it hangs")
        .expect("a program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(status.success(), "{status}: {stdout}\n{stderr}");
    (stdout, stderr)
}

/// What a program prints on its standard error until it exits with success.
async fn errors_of(program: &mut Child) -> String {
    let mut stderr = program.stderr.take().expect("its stderr");
    let mut said = String::new();
    let read = timeout(LIMIT, stderr.read_to_string(&mut said)).await;
    read.expect("it hangs").expect("text");
    let status = timeout(LIMIT, program.wait()).await;
    let status = status.expect("it hangs").expect("a program");
    assert!(status.success(), "{status}: {said}");
    said
}

fn count(text: &str, words: &str) -> usize {
    text.lines().filter(|line| line.contains(words)).count()
}

#[tokio::test]
async fn a_program_may_hold_a_streams_lock_while_it_waits_for_a_task_that_prints() {
    for stream in ["stdout", "stderr"] {
        let (stdout, stderr) = run(&["lock", stream]).await;
        // 1, 2 and 3 lines to each stream.
        assert_eq!(count(&stdout, "] line "), 6, "{stdout}");
        assert_eq!(count(&stderr, "] line "), 6, "{stderr}");
        let results = if stream == "stdout" { &stdout } else { &stderr };
        assert_eq!(count(results, "result "), 3, "{stdout}\n{stderr}");
    }
}

#[tokio::test]
async fn a_program_may_hold_what_its_subscriber_waits_for() {
    let (stdout, _) = run(&["subscriber"]).await;
    assert_eq!(count(&stdout, "result "), 3, "{stdout}");
    // Events of the executor's thread are buffered while the program holds the lock, and are written later.
    assert!(count(&stdout, "a batch was taken") > 0, "{stdout}");
    assert!(count(&stdout, "the executor ends") > 0, "{stdout}");
}

#[tokio::test]
async fn a_stdout_that_is_not_read_delays_nothing_and_the_loss_is_reported() {
    let mut program = start(&["clogged"]);
    // The pipe of standard output stays open and unread: a closed one would give the program errors instead of a block.
    let said = errors_of(&mut program).await;
    let own: String = said
        .lines()
        .filter(|line| !line.contains("] line "))
        .collect();
    assert_eq!(count(&said, "done: "), 8, "{own}");
    assert_eq!(count(&said, "are left out whenever"), 1, "{own}");
    assert!(count(&said, "not written after 2 s: ") > 0, "{own}");
}

/// The reader takes 20,000 bytes every 100 ms, 200 KB/s; the tasks print about 0.8 MB to each stream.
#[tokio::test]
async fn a_reader_that_is_slow_holds_up_nothing() {
    let mut program = start(&["clogged"]);
    let mut stdout = program.stdout.take().expect("its stdout");
    let reader = tokio::spawn(async move {
        let mut chunk = vec![0; 20_000];
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while stdout.read(&mut chunk).await.is_ok_and(|read| read > 0) {
            tick.tick().await;
        }
    });
    let said = errors_of(&mut program).await;
    assert_eq!(count(&said, "done: "), 8);
    reader.await.expect("what was written is read");
}

#[tokio::test]
async fn a_sink_that_panics_loses_its_lines_and_nothing_else() {
    let (_, stderr) = run(&["sink", "panic"]).await;
    assert_eq!(count(&stderr, "done: "), 6, "{stderr}");
    assert_eq!(
        count(
            &stderr,
            "the sink given to `output` panicked: my sink has a bug"
        ),
        1
    );
    // 1 + 2 + 3 + 4 lines to each of two streams: the sink was called for all of them.
    assert_eq!(count(&stderr, "offered 20"), 1, "{stderr}");
}

#[tokio::test]
async fn a_sink_that_never_returns_holds_up_nothing() {
    for kind in ["block", "channel"] {
        let (_, stderr) = run(&["sink", kind]).await;
        assert_eq!(count(&stderr, "done: "), 6, "{kind}: {stderr}");
        // The shutdown reports the lines that are not written, and the end of `main` reports them again. With a channel
        // one line was taken; whether the count has it depends on the lines that were passed together with it.
        let said = |waiting| {
            count(
                &stderr,
                &format!("not written after 2 s: {waiting} lines of tasks"),
            )
        };
        let fewer = if kind == "block" { 0 } else { said(19) };
        assert_eq!(said(20) + fewer, 2, "{kind}: {stderr}");
    }
}

#[tokio::test]
async fn a_sink_may_call_the_pool_and_even_end_it() {
    let (_, stderr) = run(&["sink", "submit"]).await;
    assert_eq!(count(&stderr, "offered 20"), 1, "{stderr}");
    let (_, stderr) = run(&["sink", "shutdown"]).await;
    assert!(count(&stderr, "done: shutdown in the sink") > 0, "{stderr}");
}

#[tokio::test]
async fn an_ordinary_program_loses_no_line() {
    for end in ["shutdown", "main"] {
        let (stdout, stderr) = run(&["ordinary", end]).await;
        for (name, text) in [("stdout", stdout), ("stderr", stderr)] {
            assert_eq!(count(&text, "] line "), 20 * 500, "{name}, {end}");
            let numbers = text.lines().filter_map(|line| line.split_once("] line "));
            let numbers = numbers.map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
            let numbers: Vec<_> = numbers.collect();
            // One slot ran the tasks one after the other, so each task's 500 lines stand together and in order.
            let task: Vec<_> = (0..500).map(|n| n.to_string()).collect();
            assert!(
                numbers.chunks(500).all(|chunk| chunk == task),
                "{name}, {end}"
            );
        }
    }
}
