//! No slot and no grandchild outlives its worker.

use super::*;

#[tokio::test]
async fn a_grandchild_holds_nothing_up_and_goes_too() {
    let mut rig = Rig::ready(process(), setup()).await;
    let polite = rig.one(1, tasks::leaves_a_grandchild()).await;
    rig.slot.exit();
    assert_eq!(rig.ended().await.exit, Exit::Code(0));
    is_gone(polite).await;
    let mut rig = Rig::ready(process(), setup()).await;
    let killed = rig.one(1, tasks::leaves_a_grandchild()).await;
    rig.slot.kill();
    assert_eq!(rig.ended().await.exit, Exit::Signal(9));
    is_gone(killed).await;
}

#[tokio::test]
async fn dropping_the_handle_kills_the_slot() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::hangs()]);
    rig.wait_for_line("hanging").await;
    let pid = rig.slot.pid().unwrap();
    drop(rig);
    is_gone(pid).await;
}

#[test]
fn a_runtime_that_ends_leaves_no_slot() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let rig = first.block_on(Rig::ready(process(), setup()));
    let pid = rig.slot.pid().unwrap();
    drop(first);
    runtime().block_on(is_gone(pid));
    rig.slot.kill();
}

/// The process between this test program and a slot: it is killed without warning.
#[test]
fn a_middle_process() {
    if std::env::var_os(MIDDLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut rig = Rig::ready(process(), setup()).await;
        let grandchild = rig.one(1, tasks::leaves_a_grandchild()).await;
        rig.run(2, [tasks::hangs()]);
        rig.wait_for_line("hanging").await;
        println!("pids {} {grandchild}", rig.slot.pid().unwrap());
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_killed_worker_leaves_no_slot_and_no_grandchild() {
    let mut middle = tokio::process::Command::new("/proc/self/exe")
        .args(["orphans::a_middle_process", "--exact", "--nocapture"])
        .env(MIDDLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(middle.stdout.take().unwrap()).lines();
    let told = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("its word");
            if let Some((_, pids)) = line.split_once("pids ") {
                return pids.to_owned();
            }
        }
    };
    let pids = tokio::time::timeout(BOUND, told).await.unwrap();
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    tokio::time::timeout(BOUND, middle.kill())
        .await
        .unwrap()
        .unwrap();
    for pid in pids {
        is_gone(pid).await;
    }
}

/// A slot holds its own two sockets and nothing of its worker's.
#[tokio::test]
async fn no_descriptor_of_the_worker_leaks() {
    let rig = Rig::ready(process(), setup()).await;
    let pid = rig.slot.pid().unwrap();
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count();
    assert_eq!(sockets, 2);
    let null = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(null.to_str(), Some("/dev/null"));
}
