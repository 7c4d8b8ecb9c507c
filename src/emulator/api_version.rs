//! The `api-version`s of the secrets API and what each adds. Refuses every other.

use super::errors::Refusal;

/// Every version the service knows, oldest first; previews stand beside the stable version they
/// led to.
const KNOWN: [&str; 16] = [
    "2016-10-01",
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4-preview.1",
    "7.4",
    "7.5",
    "7.6",
    "2025-06-01-preview",
    "2025-07-01",
    "2026-01-01-preview",
    "2026-03-01-preview",
    "2026-04-01",
    "2026-05-01-preview",
    "2026-07-01-preview",
];
const LATEST: &str = "2026-04-01";
/// Positions in `KNOWN`.
const V7_1: usize = 2;
const V2025_06_PREVIEW: usize = 9;

/// A version a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(usize);

impl ApiVersion {
    pub(super) fn parse(asked: Option<&str>) -> Result<Self, Refusal> {
        let asked = asked.ok_or_else(Refusal::missing_api_version)?;
        let position = KNOWN.iter().position(|known| known.eq_ignore_ascii_case(asked));
        position.map(ApiVersion).ok_or_else(|| Refusal::unknown_api_version(asked, LATEST))
    }

    pub(super) fn as_str(self) -> &'static str {
        KNOWN[self.0]
    }

    /// `recoverableDays` among the attributes.
    pub(super) fn has_recoverable_days(self) -> bool {
        self.0 >= V7_1
    }

    /// `outContentType` in the query and `previousVersion` in bundles.
    pub(super) fn has_certificate_additions(self) -> bool {
        self.0 >= V2025_06_PREVIEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_knows_what_it_adds() {
        for (asked, days, additions) in [
            ("2016-10-01", false, false),
            ("7.0", false, false),
            ("7.1", true, false),
            ("7.4-preview.1", true, false),
            ("7.6", true, false),
            ("2025-07-01", true, true),
            ("2026-04-01", true, true),
        ] {
            let version = ApiVersion::parse(Some(asked)).unwrap();
            assert_eq!(version.as_str(), asked);
            assert_eq!(version.has_recoverable_days(), days, "{asked}");
            assert_eq!(version.has_certificate_additions(), additions, "{asked}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        assert_eq!(ApiVersion::parse(None).unwrap_err().status, 400);
        assert_eq!(ApiVersion::parse(Some("7.7")).unwrap_err().code, "BadParameter");
    }
}
