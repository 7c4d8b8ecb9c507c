//! Lines for the person at the terminal, who may have closed it, or have stopped reading.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe that nobody empties for so long is one that nobody reads.
const PATIENCE_MS: u8 = 200;

/// Writes a line to stderr, if it can be written: no command fails or waits because nobody listens.
pub fn say(line: impl Display) {
    let stderr = io::stderr();
    if has_room(&stderr) {
        let line = format!("akvfs: {line}\n");
        let _ = stderr.lock().write_all(line.as_bytes());
    }
}

/// Whether a line can be written at once, or within moments.
fn has_room(stream: &impl AsFd) -> bool {
    let mut streams = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    let ready = poll(&mut streams, PollTimeout::from(PATIENCE_MS));
    ready.is_ok_and(|ready| ready > 0) && streams.iter().all(|stream| stream.any() == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_has_no_room_and_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(has_room(&writer));
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        while writer.write(&[b'x'; 4096]).is_ok() {}
        assert!(!has_room(&writer));
        drop(reader);
    }
}
