//! A log that holds up nobody: lines go through a queue to a thread that may block on whoever reads
//! them. What the queue cannot take is lost, and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for their reader.
const QUEUE: usize = 1024;
/// For how long the end of the process waits for them.
const LAST_LINES: Duration = Duration::from_millis(200);

/// The queue's end that is written to.
#[derive(Clone)]
pub(super) struct Lines {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before it has been written, once it is answered.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn to(sink: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, entries) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(sink, &entries, &counter))?;
        Ok(Lines { queue, lost })
    }

    /// Waits for the lines that are in the queue, and not long: somebody may have stopped reading them.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

fn write_all(mut sink: impl Write, entries: &Receiver<Entry>, lost: &AtomicU64) {
    for entry in entries {
        // A sink that is closed or full cannot be told so.
        match entry {
            Entry::Line(line) => {
                let _ = sink.write_all(&line);
            }
            Entry::Flush(done) => {
                let _ = done.send(());
            }
        }
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            let _ = writeln!(sink, "akvfs: {lines} lines of this log are lost: nobody read it for a while");
        }
    }
}

/// One line at a time: what the formatter hands over is whole.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::*;

    #[test]
    fn what_nobody_reads_is_lost_and_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        let long = [b'x'; 1023];
        let written = 4 * QUEUE;
        for _ in 0..written {
            lines.write_all(&[&long[..], b"\n"].concat()).unwrap();
        }
        lines.flush(); // ends although the queue is full
        drop(lines);
        let text: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        let lost: usize =
            text.iter().filter_map(|line| line.strip_prefix("akvfs: ")?.split(' ').next()?.parse::<usize>().ok()).sum();
        let kept = text.iter().filter(|line| line.len() == long.len()).count();
        assert!(lost > 0);
        assert_eq!(kept + lost, written);
    }

    #[test]
    fn a_flush_means_written() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        lines.write_all(b"a line\n").unwrap();
        lines.flush();
        let mut read = [0; 7];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"a line\n");
    }
}
