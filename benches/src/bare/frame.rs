//! Frames of the reference pool: four bytes of length, then the payload.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::fd::AsFd;

/// The capacity of a pipe on Linux by default (pipe(7)); larger payloads are not copied to the buffers.
pub(super) const PIPE_BUFFER: usize = 64 * 1024;

const HEADER: usize = 4;

pub(super) fn write_frame(pipe: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| ErrorKind::InvalidInput)?;
    pipe.write_all(&length.to_le_bytes())?;
    pipe.write_all(payload)
}

/// Reads the next payload into `buffer` and returns it; `None` at the end of the pipe.
pub(super) fn read_frame(pipe: &mut impl Read, mut buffer: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; HEADER];
    match pipe.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(header) as usize;
    // The zeros touch the pages before the kernel does: faults inside its copy would hold the pipe's lock (a fifth
    // slower at 1 MiB, measured).
    buffer.resize(length, 0);
    pipe.read_exact(&mut buffer)?;
    Ok(Some(buffer))
}

/// Whether a whole frame is in `buffered`, so that a read of the frame needs no system call.
pub(super) fn holds_frame(buffered: &[u8]) -> bool {
    buffered
        .split_first_chunk::<HEADER>()
        .is_some_and(|(header, rest)| rest.len() >= u32::from_le_bytes(*header) as usize)
}

/// Answers every frame of standard input with its own bytes; answers that are ready together leave together.
pub(super) fn serve() -> io::Result<()> {
    // Not `io::stdout()` itself: its `LineWriter` searches every payload for line ends.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut input = BufReader::with_capacity(PIPE_BUFFER, input);
    let mut output = BufWriter::with_capacity(PIPE_BUFFER, output);
    let mut payload = Vec::new();
    while let Some(read) = read_frame(&mut input, payload)? {
        write_frame(&mut output, &read)?;
        if !holds_frame(input.buffer()) {
            output.flush()?;
        }
        payload = read;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole_and_the_end_is_seen() {
        let mut pipe = Vec::new();
        write_frame(&mut pipe, b"one").unwrap();
        write_frame(&mut pipe, b"").unwrap();
        let mut reader = pipe.as_slice();
        assert_eq!(
            read_frame(&mut reader, vec![9; 10]).unwrap().unwrap(),
            b"one"
        );
        assert_eq!(read_frame(&mut reader, Vec::new()).unwrap().unwrap(), b"");
        assert!(read_frame(&mut reader, Vec::new()).unwrap().is_none());
    }

    #[test]
    fn only_a_whole_frame_counts_as_held() {
        let mut pipe = Vec::new();
        write_frame(&mut pipe, b"one").unwrap();
        assert!(holds_frame(&pipe));
        assert!(!holds_frame(&pipe[..6]));
        assert!(!holds_frame(&pipe[..3]));
    }
}
