//! What a slot costs.

use super::*;

/// What a slot costs; it fails only if a result is missing.
/// `cargo test --release -p podpool-core --test slot measure -- --nocapture` prints it.
#[tokio::test]
async fn measure() {
    let mut rig = Rig::ready(process(), setup()).await;
    let rounds: u32 = if cfg!(debug_assertions) { 20 } else { 8000 };
    for (count, frames, ahead) in [(1, 5 * rounds, 1), (256, rounds, 2)] {
        let load = Load::of((0..count).map(tasks::noop)).frame(0);
        let count = u32::try_from(count).unwrap();
        let began = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        while answered < frames * count {
            while sent < frames && sent < ahead + answered / count {
                let number = u64::from(count) * 1_000_000 + u64::from(sent);
                rig.slot.run(Frame {
                    number,
                    ..load.clone()
                });
                sent += 1;
            }
            match rig.next().await {
                SlotEvent::Results { count, .. } => answered += count,
                other => panic!("{other:?}"),
            }
        }
        let took = began.elapsed().as_secs_f64();
        println!(
            "{count} tasks a frame: {:.0} tasks/s, {:.1} us a frame",
            f64::from(answered) / took,
            took * 1e6 / f64::from(frames)
        );
    }
}
