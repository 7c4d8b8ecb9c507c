//! What the flags about the cache mean.

use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::UsageError;
use crate::cache::CacheSettings;
use crate::cli::CacheArgs;
use crate::rotation::RotationSettings;

/// The default of `--cache-bytes`, however much may be locked: a cache of a few values is worth having,
/// and one of more than this is to be asked for.
const BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 20);

/// What the flags mean.
///
/// Who is to act on changes may read a secret once and never again, and so is to hear of them all the same.
pub(super) fn settings(args: &CacheArgs, rotation: &RotationSettings) -> Result<CacheSettings, UsageError> {
    if args.cache_entries == 0 {
        return Err(UsageError::NoCache);
    }
    Ok(CacheSettings {
        ttl: args.ttl,
        negative_ttl: args.negative_ttl,
        stale_if_error: args.stale_if_error,
        keep_fresh: args.keep_fresh.unwrap_or(match rotation.is_followed() {
            true => CacheSettings::FOREVER,
            false => Duration::ZERO,
        }),
        entries: args.cache_entries,
        bytes: args.cache_bytes.unwrap_or_else(default_bytes),
    })
}

/// As many as may be locked in memory (`RLIMIT_MEMLOCK`, getrlimit(2)).
fn default_bytes() -> usize {
    let lockable = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    let lockable = if lockable == RLIM_INFINITY { u64::MAX } else { lockable };
    usize::try_from(lockable.clamp(*BYTES.start(), *BYTES.end())).unwrap_or(usize::MAX)
}
