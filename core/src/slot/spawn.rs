//! Starts a slot's process: its sockets, its pipes, its progress cell, and the set-up that it reads first.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg, sockopt};

use crate::registry::Registry;
use crate::role;

use super::socket::{SEND, pair};
use super::wire::{self, SetupBody, Type};
use super::{Program, Setup, StartError, descriptors, progress};

/// The requested size of a socket's send buffer; the system may give less (`net.core.wmem_max`).
// A frame of the largest packed size (64 KiB) fits several times, so an idle slot is fed without a turn of the driver.
// <https://man7.org/linux/man-pages/man7/socket.7.html>
const SEND_BUFFER: usize = 1 << 20;

/// A process that was started, and what ties it to this one.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) data: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) cell: OwnedFd,
    /// What did not go with the first send: the body of the set-up.
    pub(super) unsent: Vec<u8>,
    pub(super) memory_limit: Option<u64>,
}

impl Program {
    /// A process of the executable that runs now, even if its file was replaced since. In a libtest program with
    /// [`test_slots!`](crate::test_slots) the process runs that test alone.
    ///
    /// # Errors
    /// [`StartError::Refused`] when the system does not report which executable runs.
    pub fn this_executable() -> Result<Self, StartError> {
        Ok(Self::Process {
            path: executable().map_err(StartError::refused("the name of the executable"))?,
            name: std::env::args_os().next(),
            args: role::slot_args(),
        })
    }
}

/// On Linux the executable that runs, even if its file was replaced; without /proc the file that was started.
#[cfg(target_os = "linux")]
fn executable() -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let running = PathBuf::from("/proc/self/exe");
    match std::fs::metadata(&running) {
        // A link to the file itself: a rebuild during the run replaces what the name stands for, and slots of another
        // build may be refused by the digest.
        Ok(_) => Ok(running),
        Err(error) => {
            let started = rustix::param::linux_execfn().to_bytes();
            let started = std::fs::canonicalize(OsStr::from_bytes(started)).map_err(|_| error)?;
            tracing::debug!(path = %started.display(), "/proc cannot be read; slots run the file that was started");
            Ok(started)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The command of a slot, but for its standard input.
pub(super) fn command(
    path: &Path,
    name: Option<&OsStr>,
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Command {
    let mut command = Command::new(path);
    if let Some(name) = name {
        command.arg0(name);
    }
    command
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .env(
            role::ROLE_VARIABLE,
            role::slot_role(std::process::id(), descriptors::limit_of_slots()),
        )
        // A group of its own: a kill reaches all that its tasks start, and Ctrl-C at the terminal does not reach the
        // slot.
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts the process and sends what it must have first.
pub(super) fn start(mut command: Command, setup: &Setup) -> Result<Started, StartError> {
    let body = SetupBody {
        digest: Registry::global()?.digest()?,
        run: setup.place.run.clone(),
        worker: setup.place.worker.as_ref().to_owned(),
        node: setup.place.node.as_ref().to_owned(),
        initializer: setup
            .initializer
            .as_ref()
            .map(|(index, arguments)| (*index, arguments.to_vec())),
        memory_limit: setup.memory_limit,
    }
    .encode()?;
    let (data, its_data) = pair().map_err(StartError::refused("a pair of sockets (socketpair)"))?;
    let (control, its_control) =
        pair().map_err(StartError::refused("a pair of sockets (socketpair)"))?;
    let cell = progress::create().map_err(StartError::refused("a file for its progress"))?;
    for end in [&data, &its_data] {
        // A larger buffer makes large payloads faster; a refusal changes nothing else.
        let _ = sockopt::set_socket_send_buffer_size(end, SEND_BUFFER);
    }
    // Only the head goes now: 16 bytes fit an empty socket for certain, the body may be larger than any buffer while
    // the process does not read yet.
    let head = wire::head_bytes(Type::Setup, 0, body.len());
    send_with(&data, &head, &its_control, &cell)
        .map_err(StartError::refused("to pass descriptors (sendmsg)"))?;
    // The slot's end goes to the child alone: a handle that stayed here would keep the driver from reading the end of
    // the socket.
    command.stdin(Stdio::from(its_data));
    let child = command.spawn().map_err(|source| StartError::Spawn {
        path: command.get_program().display().to_string(),
        source,
    })?;
    Ok(Started {
        child,
        data,
        control,
        cell,
        unsent: body,
        memory_limit: setup.memory_limit,
    })
}

/// Sends `bytes`, few enough for an empty socket, together with two descriptors.
fn send_with(socket: &OwnedFd, bytes: &[u8], control: &OwnedFd, cell: &OwnedFd) -> io::Result<()> {
    let descriptors = [control.as_fd(), cell.as_fd()];
    // Descriptors go with the first message, so that none is inherited by number: another thread of the program may start a
    // process of its own at the same moment.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let parts = [IoSlice::new(bytes)];
    let sent = sendmsg(socket, &parts, &mut ancillary, SEND)?;
    if fits && sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}
