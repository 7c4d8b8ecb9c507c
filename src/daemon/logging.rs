//! Where the log goes: stderr in the foreground, the journal in the background.

use std::env;
use std::io::IsTerminal;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::cli::LogLevel;

/// Starts logging. In the background, without a journal, there is nowhere to log to.
pub(super) fn start(level: LogLevel, in_background: bool) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    // Ours alone: what the libraries have to say is about their own insides.
    let filter = EnvFilter::new(format!("off,akvfs={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    // An error means that a log has been started already, which only a test can do.
    let _ = if in_background {
        match tracing_journald::layer() {
            Ok(journal) => registry.with(journal.with_syslog_identifier("akvfs".to_owned())).try_init(),
            Err(_) => registry.try_init(),
        }
    } else {
        let stderr = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        // The journal stamps the lines that it takes from a unit's stderr itself.
        if env::var_os("JOURNAL_STREAM").is_some() {
            registry.with(stderr.without_time()).try_init()
        } else {
            registry.with(stderr).try_init()
        }
    };
}
