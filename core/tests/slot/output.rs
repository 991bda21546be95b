//! What tasks print.

use super::*;

#[tokio::test]
async fn output_comes_before_the_result_of_its_task() {
    let mut rig = Rig::ready(process(), setup()).await;
    for number in 1..50 {
        rig.one(number, tasks::prints(number.to_string())).await;
        rig.printed
            .sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let expected = [
            (Stream::Stdout, format!("out {number}")),
            (Stream::Stdout, format!("open {number}")),
            (Stream::Stderr, format!("err {number}")),
        ];
        assert_eq!(std::mem::take(&mut rig.printed), expected);
    }
}

#[tokio::test]
async fn a_flood_neither_fills_memory_nor_stalls_others() {
    let mut other = Rig::ready(process(), setup()).await;
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::floods(100)]);
    let flood = Instant::now();
    let mut worst = Duration::ZERO;
    let mut number = 0;
    let mut passed = 0;
    let mut left_out = None;
    let mut ended = false;
    while !ended {
        number += 1;
        let began = Instant::now();
        other.one(number, tasks::noop(1)).await;
        worst = worst.max(began.elapsed());
        while let Ok((_, event)) = rig.events.try_recv() {
            match event {
                SlotEvent::Output { line, .. } if line.starts_with("podpool: ") => {
                    left_out = Some(line);
                }
                SlotEvent::Output { line, .. } => passed += line.len(),
                SlotEvent::Results { .. } => ended = true,
                other => panic!("{other:?}"),
            }
        }
    }
    println!("passed {passed} bytes; longest round trip beside it {worst:?}; {left_out:?}");
    assert!(passed < 50 << 20, "{passed}");
    assert!(left_out.unwrap().contains("were left out"));
    // A stall would last as long as the flood, however busy the machine is.
    let flood = flood.elapsed();
    assert!(worst < flood / 2, "{worst:?} of {flood:?}");
    assert_eq!(rig.slot.tail(1).last().unwrap(), "the end");
}
