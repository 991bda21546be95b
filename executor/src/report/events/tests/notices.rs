//! The destinations of notices, and their order with lines.

use super::*;

/// The text on standard error and of the lines of tasks, which share a writer here, after notices were emitted on a
/// thread of podpool's in a program with this subscriber.
fn written(notices: Notices, subscriber: Option<Text>) -> Vec<String> {
    struct Lines(Text);
    impl crate::report::outlet::Consumer<KeptLine> for Lines {
        fn take(&mut self, lines: &mut std::collections::VecDeque<KeptLine>) {
            for line in lines.drain(..) {
                writeln!(self.0, "{}", line.line().line).unwrap();
            }
        }
    }
    let errors = Text::default();
    let gap = |_| KeptLine::notice(String::new());
    let lines = Outlet::new("lines", 1 << 20, gap, Lines(errors.clone()));
    let build = || Events::with_errors(notices, Box::new(errors.clone()));
    let events = match subscriber {
        None => build(),
        Some(text) => {
            let subscriber = tracing_subscriber::fmt().with_writer(text).without_time();
            with_default(subscriber.with_ansi(false).finish(), build)
        }
    };
    events.write_notices_after(lines.gauge());
    lines.push_always(0, KeptLine::notice("a task's line".to_owned()));
    thread::scope(|scope| {
        scope.spawn(|| {
            events.within(|| {
                warn!(target: NOTICE, "{} of 10 workers run", 4);
                info!("of no interest");
                info!(target: NOTICE, "all run");
            });
        });
    });
    events.notice("lines are lost".to_owned());
    assert!(events.gauge().wait_until(Instant::now() + LIMIT));
    assert!(lines.gauge().wait_until(Instant::now() + LIMIT));
    errors.text().lines().map(str::to_owned).collect()
}

#[test]
fn notices_are_lines_after_those_before_them_where_there_is_no_subscriber() {
    assert_eq!(written(Notices::Auto, None), NOTICED);
    assert_eq!(written(Notices::Off, None), NOTICED[..1]);
}

#[test]
fn a_subscriber_gets_notices_as_events_and_lines_are_written_only_by_a_setting() {
    for (notices, lines) in [
        (Notices::Auto, 1),
        (Notices::StandardError, 4),
        (Notices::Off, 1),
    ] {
        let text = Text::default();
        assert_eq!(written(notices, Some(text.clone())), NOTICED[..lines]);
        let text = text.text();
        let targets = text.matches("podpool::notice").count();
        assert_eq!((targets, text.lines().count()), (3, 4), "{text}");
        assert!(
            text.contains("WARN podpool::notice: 4 of 10 workers run"),
            "{text}"
        );
    }
}

/// The lines of tasks are not read.
#[test]
fn a_notice_does_not_wait_long_for_lines_that_are_not_read() {
    struct Stuck(Receiver<()>);
    impl crate::report::outlet::Consumer<KeptLine> for Stuck {
        fn take(&mut self, lines: &mut std::collections::VecDeque<KeptLine>) {
            self.0.recv().ok();
            lines.clear();
        }
    }
    let (_keep, never) = channel();
    let gap = |_| KeptLine::notice(String::new());
    let lines = Outlet::new("stuck", 1 << 20, gap, Stuck(never));
    let errors = Text::default();
    let events = Events::with_errors(Notices::Auto, Box::new(errors.clone()));
    events.write_notices_after(lines.gauge());
    lines.push_always(0, KeptLine::notice("a task's line".to_owned()));
    events.notice("lines are lost".to_owned());
    assert!(events.gauge().wait_until(Instant::now() + LIMIT));
    assert_eq!(errors.text(), "podpool: lines are lost\n");
}

#[test]
fn a_closure_receives_notices_whatever_the_subscriber_accepts() {
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let keep = heard.clone();
    let notices = Notices::to(move |text| lock(&keep).push(text.to_owned()));
    let nothing = tracing_subscriber::registry().with(LevelFilter::OFF);
    let events = with_default(nothing, || Events::for_this_thread(notices));
    thread::scope(|scope| {
        scope.spawn(|| events.within(|| warn!(target: NOTICE, "one")));
    });
    events.notice("two".to_owned());
    assert!(events.gauge().wait_until(Instant::now() + LIMIT));
    assert_eq!(*lock(&heard), ["one", "two"]);
}

/// The sink is slow.
#[test]
fn a_closure_is_given_a_notice_after_the_lines_before_it() {
    struct Slow(Receiver<()>, Sender<String>);
    impl crate::report::outlet::Consumer<KeptLine> for Slow {
        fn take(&mut self, lines: &mut std::collections::VecDeque<KeptLine>) {
            self.0.recv_timeout(Duration::from_millis(20)).ok();
            for line in lines.drain(..) {
                self.1.send(line.line().line.to_owned()).unwrap();
            }
        }
    }
    let (_keep, never) = channel();
    let (tell, told) = channel();
    let gap = |_| KeptLine::notice(String::new());
    let lines = Outlet::new("slow", 1 << 20, gap, Slow(never, tell.clone()));
    let events = Events::for_this_thread(Notices::to(move |text| {
        tell.send(text.to_owned()).unwrap();
    }));
    events.write_notices_after(lines.gauge());
    lines.push_always(0, KeptLine::notice("a task's line".to_owned()));
    events.notice("it failed".to_owned());
    for expected in ["a task's line", "it failed"] {
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), expected);
    }
}
