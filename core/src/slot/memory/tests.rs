//! Tests of memory figures and limits of this system.

use super::*;

#[test]
fn what_proc_holds_is_read() {
    let usage = Usage {
        resident: 1230,
        data: 70,
    };
    assert_eq!(usage_in_pages("5000 123 45 6 0 7 0\n", 10), Some(usage));
    assert_eq!(usage_in_pages("5000 123 45\n", 10), None);
    let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmData:\t 10 kB\n";
    assert_eq!(status_field(status, "VmHWM:"), Some(2 << 20));
    assert_eq!(status_field(status, "VmSwap:"), None);
}

#[test]
fn the_stop_is_far_from_any_limit_and_never_overflows() {
    assert_eq!(stop_for(100 << 20, 7), (125 << 20) + SLACK + 7);
    assert_eq!(stop_for(u64::MAX, u64::MAX), u64::MAX);
    assert!(u128::from(SLACK) >= 500 * (2 << 20), "500 stacks");
}

#[test]
fn the_kernels_kills_are_found_in_groups_of_either_version() {
    let newer = kill_counts("0::/pods/a\n");
    assert_eq!(newer, ["/sys/fs/cgroup/pods/a/memory.events"]);
    let older = kill_counts("5:cpu,cpuacct:/x\n4:hugetlb,memory:/pods/a\n");
    let group = "/sys/fs/cgroup/memory/pods/a/memory.oom_control";
    let root = "/sys/fs/cgroup/memory/memory.oom_control";
    assert_eq!(older, [group, root]);
    assert_eq!(kill_counts("5:cpu:/x\n"), Vec::<String>::new());
    // A limit of a group around this one counts too.
    let limits = limit_files("0::/pods/a\n");
    let file = |group: &str| format!("/sys/fs/cgroup{group}/memory.max");
    assert_eq!(limits, [file("/pods/a"), file("/pods"), file("")]);
    let limits = limit_files("4:memory:/a\n");
    let expected = "/sys/fs/cgroup/memory/a/memory.limit_in_bytes";
    assert_eq!(limits.first().map(String::as_str), Some(expected));
    assert_eq!(
        read_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        Some(3)
    );
    assert_eq!(read_kills("oom 4\noom_kill 2\noom_group_kill 1\n"), Some(2));
    assert_eq!(read_kills("under_oom 0\n"), None);
    assert_eq!(read_limit("536870912\n"), Some(512 << 20));
    assert_eq!(read_limit("max\n"), None);
    assert_eq!(read_limit("9223372036854771712\n"), None);
}

#[test]
fn deaths_are_distinguished() {
    let abort = Exit::Signal(SIGABRT);
    let kill = Exit::Signal(SIGKILL);
    let plain = Death::default();
    assert_eq!(plain.out_of_memory(abort), None);
    assert_eq!(plain.out_of_memory(kill), None);
    let limited = |peak| Death {
        limit: Some(1000),
        peak: Some(peak),
        ..plain
    };
    let slots = Some(OutOfMemory::OfSlot(1000));
    assert_eq!(limited(900).out_of_memory(abort), slots);
    assert_eq!(limited(899).out_of_memory(abort), None);
    assert_eq!(limited(900).out_of_memory(Exit::Signal(11)), None);
    let said = Death {
        allocation_failed: true,
        ..plain
    };
    assert_eq!(said.out_of_memory(abort), Some(OutOfMemory::Refused));
    assert_eq!(said.out_of_memory(Exit::Code(1)), None);
    let kernel = Death {
        kernel_killed: true,
        ..plain
    };
    let group = kernel.out_of_memory(kill);
    assert!(matches!(group, Some(OutOfMemory::OfGroup(_))), "{group:?}");
    let ours = Death {
        killed: true,
        ..kernel
    };
    assert_eq!(ours.out_of_memory(kill), None);
    let sampled = |frame_now| Death {
        over: Some(OutOfMemory::OfTask(500)),
        killed: true,
        frame_then: Some(3),
        frame_now,
        ..plain
    };
    let own = sampled(Some(3));
    assert_eq!(own.out_of_memory(kill), Some(OutOfMemory::OfTask(500)));
    assert!(!own.is_of_another());
    for now in [Some(4), None] {
        let late = sampled(now);
        assert!(late.is_of_another());
        assert_eq!(late.out_of_memory(kill), None);
    }
}
