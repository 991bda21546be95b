//! The resident memory of this process, as the kernel counts it.

use anyhow::Context;

/// Peak resident memory since the process began, in bytes.
///
/// # Errors
/// `/proc/self/status` cannot be read or has no `VmHWM` (Linux alone has it).
pub fn peak_resident() -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    field(&status, "VmHWM:").context("/proc/self/status has no VmHWM")
}

/// A field of `/proc/self/status`, which gives them in kB.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // The kernel writes "kB" and means 1,024 bytes. <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kilobytes() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t  12 kB\nVmRSS:\t 8 kB\n";
        assert_eq!(field(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_a_peak() {
        assert!(peak_resident().unwrap() > 64 * 1024);
    }
}
