//! A year on ten pods.

use std::time::{Duration, Instant};

use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::RUN_LABEL;

use crate::ground::{Place, TURN, WORKERS, nothing_is_left};

/// The longest wait for one step; on a sound cluster no step takes so long.
const BOUND: Duration = Duration::from_secs(240);
/// From one look at the pods to the next.
const LOOK: Duration = Duration::from_millis(100);

/// The observations of a run by the test's own watch.
#[derive(Debug, Default)]
struct Seen {
    run: Option<RunId>,
    pods: usize,
    first_pod: Option<Duration>,
    first_running: Option<Duration>,
}

/// Follows the pods with the test's label, without end.
async fn follow(cluster: &Cluster, label: &str, seen: &mut Seen) {
    let began = Instant::now();
    loop {
        let pods = cluster.pods().list(&Default::default()).await.unwrap();
        let ours = pods.items.into_iter().filter(|pod| {
            let labels = pod.metadata.labels.iter().flatten();
            labels.into_iter().any(|(_, value)| value == label)
        });
        let mut count = 0;
        for pod in ours {
            count += 1;
            seen.first_pod.get_or_insert_with(|| began.elapsed());
            let labels = pod.metadata.labels.unwrap();
            seen.run = Some(RunId::new(&labels[RUN_LABEL]).unwrap());
            let phase = pod.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Running") {
                seen.first_running.get_or_insert_with(|| began.elapsed());
            }
        }
        seen.pods = seen.pods.max(count);
        // There is no event: a watch would need more of Kubernetes than this package has.
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test]
async fn ten_pods_make_the_same_files_as_processes_of_this_machine() {
    let _turn = TURN.lock().await;
    let Some(place) = Place::make().await else {
        return;
    };
    let mut seen = Seen::default();
    let program_run = place.start(&[]).wait_with_output();
    let ended = tokio::select! {
        ended = tokio::time::timeout(BOUND, program_run) => ended,
        () = follow(&place.cluster, &place.name, &mut seen) => unreachable!("it has no end"),
    };
    place.remove_secret().await;
    let ended = ended.expect("the program hangs").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let times = said.lines().find(|line| line.starts_with("pool built"));
    let (pod, running) = (seen.first_pod.unwrap(), seen.first_running.unwrap());
    println!("{}", times.expect("the program says how long it took"));
    println!(
        "seen from outside: {} pods, the first after {pod:.2?}, running after {running:.2?}",
        seen.pods
    );
    assert!(seen.pods >= WORKERS, "{seen:?}");
    nothing_is_left(&place.cluster, &seen.run.unwrap(), &place.name).await;
    place.compare().await;
}
