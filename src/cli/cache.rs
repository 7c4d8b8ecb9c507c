//! Flags about what is remembered, and for how long.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// How long answers of the vault are served, and how many are kept.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Cache")]
pub struct CacheArgs {
    /// For how long a value or a listing is served without asking the vault again
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
    /// For how long after that it is served while the vault cannot be asked: no network, no token, 5xx,
    /// 429, a firewall; 0 for not at all, or forever
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration_or_forever)]
    pub stale_if_error: Duration,
    /// For how long after it was last read a value is kept fresh in the background, so that a change of it
    /// is noticed; a duration, or forever [default: forever with --on-change, --reload-unit or
    /// --restart-unit, else until it was not read for one ttl]
    #[arg(long, value_name = "DURATION", value_parser = duration_or_forever)]
    pub keep_fresh: Option<Duration>,
    /// For how long "there is no such secret" and "permission denied" are remembered
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub negative_ttl: Duration,
    /// What `stat` shows of a file that nobody has opened yet
    #[arg(long, value_name = "WHICH", default_value = "exact")]
    pub sizes: Sizes,
    /// Let the kernel keep values in its page cache, where they are readable to whoever can read the kernel's
    /// memory, and not wiped; reads of them cost less. `values/NAME` then becomes another file with each
    /// version, so watch and bind `secrets/NAME/current`, which does not
    #[arg(long)]
    pub page_cache: bool,
    /// How many values are kept at most, the least recently used going first
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub cache_entries: usize,
    /// How many bytes of values are kept at most, such as 512K or 64M [default: as many as this process
    /// may lock in memory, between 1M and 64M]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub cache_bytes: Option<usize>,
}

/// What `stat` shows of a file whose content is not known.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// Its size, for which the value is fetched
    Exact,
    /// The size it had last, or 0, without asking: programs that go by it, as tar and rsync do, find no content
    Lazy,
}

/// What `forever` stands for: longer than anything runs.
const FOREVER: Duration = Duration::MAX;

fn duration_or_forever(text: &str) -> Result<Duration, humantime::DurationError> {
    if text == "forever" { Ok(FOREVER) } else { humantime::parse_duration(text) }
}

fn bytes(text: &str) -> Result<usize, &'static str> {
    const WRONG: &str = "give a number of bytes, such as 1048576, 512K or 64M";
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (text, 0),
    };
    let number: usize = digits.parse().map_err(|_| WRONG)?;
    number.checked_mul(1 << shift).ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_with_a_suffix_or_without() {
        for (text, meant) in
            [("0", Some(0)), ("10", Some(10)), ("2K", Some(2048)), ("64M", Some(64 << 20)), ("1G", Some(1 << 30))]
        {
            assert_eq!(bytes(text).ok(), meant, "{text}");
        }
        for text in ["", "M", "-1", "1.5M", "1KB", "99999999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn forever_is_a_duration_too() {
        assert_eq!(duration_or_forever("forever"), Ok(FOREVER));
        assert_eq!(duration_or_forever("0s"), Ok(Duration::ZERO));
        assert_eq!(duration_or_forever("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration_or_forever("never").is_err());
    }
}
