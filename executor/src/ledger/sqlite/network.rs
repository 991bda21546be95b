//! File systems on which SQLite's locks and its shared memory do not hold, by name.

use std::io;
use std::path::Path;

/// File systems of several machines, by the number that `statfs` gives.
/// <https://man7.org/linux/man-pages/man2/statfs.2.html>
#[cfg(target_os = "linux")]
const BY_NUMBER: [(u32, &str); 19] = [
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x1983_0326, "beegfs"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncp"),
    (0xaad7_aaea, "panfs"),
    (0x2003_0528, "orangefs"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
];

/// The number of all file systems that are processes: their name is in the list of mounts.
#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// Those of them that are on another machine. Others are on a disk here, as `fuseblk` is.
#[cfg(target_os = "linux")]
const BY_NAME: [&str; 20] = [
    "fuse.blobfuse",
    "fuse.blobfuse2",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.curlftpfs",
    "fuse.davfs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.goofys",
    "fuse.juicefs",
    "fuse.lizardfs",
    "fuse.mfs",
    "fuse.moosefs",
    "fuse.mount-s3",
    "fuse.mountpoint-s3",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.seaweedfs",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
];

/// The name of the network file system that a directory is on; none on a disk of this machine.
#[cfg(target_os = "linux")]
pub(super) fn file_system(path: &Path) -> io::Result<Option<String>> {
    let number = rustix::fs::statfs(path)?.f_type;
    // The kernel gives 32 bits; where the field is wider and signed, the upper ones repeat the sign.
    let number = number as u32;
    if number != FUSE {
        return Ok(by_number(number).map(str::to_owned));
    }
    let device = rustix::fs::stat(path)?.st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let name = type_of(&mounts, device);
    Ok(name
        .filter(|name| BY_NAME.contains(name))
        .map(str::to_owned))
}

/// Elsewhere nothing is known of file systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(path: &Path) -> io::Result<Option<String>> {
    std::fs::metadata(path)?;
    Ok(None)
}

#[cfg(target_os = "linux")]
fn by_number(number: u32) -> Option<&'static str> {
    let mut known = BY_NUMBER.into_iter();
    known.find_map(|(of, name)| (of == number).then_some(name))
}

/// The type of the file system of a device, by the kernel's list of mounts:
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`.
/// <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>
#[cfg(target_os = "linux")]
fn type_of(mounts: &str, (major, minor): (u32, u32)) -> Option<&str> {
    let device = format!("{major}:{minor}");
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let of_device = mount.split(' ').nth(2) == Some(device.as_str());
        of_device.then(|| source.split(' ').next())?
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:41 / /home/ada/far rw,nosuid shared:7 - fuse.sshfs ada@far:/data rw
41 22 0:42 / /mnt/my\\040disk rw - fuseblk /dev/sdb1 rw";

    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(by_number(0x6969), Some("nfs"));
        assert_eq!(by_number(0xff53_4d42), Some("cifs"));
        // ext4, tmpfs, overlay, xfs, btrfs
        for local in [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x9123_683e] {
            assert_eq!(by_number(local), None);
        }
    }

    #[test]
    fn file_systems_of_processes_are_known_by_the_list_of_mounts() {
        let far = type_of(MOUNTS, (0, 41)).unwrap();
        assert!(BY_NAME.contains(&far), "{far}");
        let near = type_of(MOUNTS, (0, 42)).unwrap();
        assert!(!BY_NAME.contains(&near), "{near}");
        assert_eq!(type_of(MOUNTS, (9, 9)), None);
        assert_eq!(type_of("nonsense", (9, 9)), None);
    }

    #[test]
    fn the_directory_of_temporary_files_is_local() {
        assert_eq!(file_system(&std::env::temp_dir()).unwrap(), None);
        let nowhere = file_system(Path::new("/nowhere/at/all")).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
