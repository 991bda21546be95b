//! The sockets between worker and slot, as each system makes them.
//!
//! A write to a socket whose other end is closed must fail and not raise SIGPIPE. Linux takes that as a flag of each
//! send, Apple's systems once for the socket. Elsewhere than on Linux a socket becomes close-on-exec a moment after it
//! is made: a child that the program starts in that moment may hold it, so a slot also looks whether its worker runs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};

/// How both ends send.
#[cfg(not(target_vendor = "apple"))]
pub(super) const SEND: SendFlags = SendFlags::NOSIGNAL;
/// How both ends send.
#[cfg(target_vendor = "apple")]
pub(super) const SEND: SendFlags = SendFlags::empty();

/// How a slot receives the descriptors of its set-up.
#[cfg(target_os = "linux")]
pub(super) const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
/// How a slot receives the descriptors of its set-up.
#[cfg(not(target_os = "linux"))]
pub(super) const RECEIVE: RecvFlags = RecvFlags::empty();

/// Two ends of a stream socket that no other child inherits.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = made()?;
    #[cfg(target_vendor = "apple")]
    for end in [&one, &other] {
        rustix::net::sockopt::set_socket_nosigpipe(end, true)?;
    }
    Ok((one, other))
}

#[cfg(target_os = "linux")]
fn made() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    // Set by the same call that makes the sockets: a child that another thread starts in between would hold them open.
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn made() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    Ok((one.into(), other.into()))
}

/// Whether a descriptor is a socket of this machine.
pub(crate) fn is_local_socket(descriptor: impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        use rustix::net::{AddressFamily, sockopt};
        match sockopt::socket_domain(&descriptor) {
            Ok(domain) => return domain == AddressFamily::UNIX,
            Err(Errno::NOTSOCK | Errno::BADF) => return false,
            // Where a sandbox does not answer, any socket will do.
            Err(_) => {}
        }
    }
    let status = rustix::fs::fstat(&descriptor);
    status.is_ok_and(|status| rustix::fs::FileType::from_raw_mode(status.st_mode).is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_socket_is_distinguished_from_other_descriptors() {
        let (one, other) = pair().unwrap();
        assert!(is_local_socket(&one) && is_local_socket(&other));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!is_local_socket(&file));
        #[cfg(target_os = "linux")]
        assert!(!is_local_socket(
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap()
        ));
    }

    #[test]
    fn a_send_to_a_closed_end_fails() {
        let (one, other) = pair().unwrap();
        drop(other);
        let sent = rustix::net::send(&one, b"x", SEND);
        assert_eq!(sent, Err(rustix::io::Errno::PIPE));
    }
}
