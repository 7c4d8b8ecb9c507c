//! Where the log goes: stderr in the foreground, the journal in the background.

use std::env;
use std::io::{self, IsTerminal};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use super::Failure;
use super::lines::Lines;
use crate::cli::LogLevel;

/// A log that has been started.
pub(super) struct Log(Option<Lines>);

impl Log {
    /// Writes what is still to be written, unless nobody reads it.
    pub(super) fn finish(self) {
        if let Some(lines) = self.0 {
            lines.flush();
        }
    }
}

/// Starts logging. In the background, without a journal, there is nowhere to log to.
pub(super) fn start(level: LogLevel, in_background: bool) -> Result<Log, Failure> {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    // Ours alone: what the libraries have to say is about their own insides.
    let filter = EnvFilter::new(format!("off,akvfs={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    // An error of `try_init` means that a log has been started already, which only a test can do.
    if in_background {
        let _ = match tracing_journald::layer() {
            Ok(journal) => registry.with(journal.with_syslog_identifier("akvfs".to_owned())).try_init(),
            Err(_) => registry.try_init(),
        };
        return Ok(Log(None));
    }
    let lines = Lines::to(io::stderr()).map_err(|error| Failure::system("cannot start the log", &error))?;
    let stderr = fmt::layer().with_writer(lines.clone()).with_ansi(io::stderr().is_terminal());
    // The journal stamps the lines that it takes from a unit's stderr itself.
    let _ = if env::var_os("JOURNAL_STREAM").is_some() {
        registry.with(stderr.without_time()).try_init()
    } else {
        registry.with(stderr).try_init()
    };
    Ok(Log(Some(lines)))
}
