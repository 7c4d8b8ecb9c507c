//! Who is signed in to a tool of Azure's: `az` or `azd` is run for its token.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::AuthError;
use super::provider::{Source, Wanted};
use super::token::{Fetched, Token};
use crate::sys::SecretBytes;

/// Shorter than the limit of any fetch, so that its own words are heard.
const LIMIT: Duration = Duration::from_secs(25);

/// A program that is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    AzureCli,
    AzureDeveloperCli,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::AzureCli => "az",
            Tool::AzureDeveloperCli => "azd",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Tool::AzureCli => "the Azure CLI",
            Tool::AzureDeveloperCli => "the Azure Developer CLI",
        }
    }

    fn arguments(self, scope: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Tool::AzureCli => &["account", "get-access-token", "--output", "json", "--scope", scope],
            Tool::AzureDeveloperCli => &["auth", "token", "--output", "json", "--no-prompt", "--scope", scope],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn tenant_flag(self) -> &'static str {
        match self {
            Tool::AzureCli => "--tenant",
            Tool::AzureDeveloperCli => "--tenant-id",
        }
    }

    fn sign_in(self) -> &'static str {
        match self {
            Tool::AzureCli => "az login",
            Tool::AzureDeveloperCli => "azd auth login",
        }
    }
}

/// A tool, and the tenant to ask it for.
pub(super) struct Command {
    tool: Tool,
    tenant: Option<String>,
}

impl Command {
    pub(super) fn new(tool: Tool, tenant: Option<String>) -> Command {
        Command { tool, tenant }
    }

    async fn token(&self, wanted: &Wanted) -> Result<Fetched, AuthError> {
        let tenant = wanted.scope.tenant().or_else(|| self.tenant.clone());
        let scope = wanted.scope.default_scope();
        match self.run(&scope, tenant.as_deref()).await {
            // Who is signed in as a managed identity has one tenant, and must not name it.
            Err(Trouble::NoTenantWanted) => self.run(&scope, None).await,
            other => other,
        }
        .map_err(|trouble| trouble.error(self.tool))
    }

    async fn run(&self, scope: &str, tenant: Option<&str>) -> Result<Fetched, Trouble> {
        let mut command = tokio::process::Command::new(self.tool.program());
        command.args(self.tool.arguments(scope)).current_dir("/").kill_on_drop(true);
        if let Some(tenant) = tenant {
            command.args([self.tool.tenant_flag(), tenant]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(LIMIT, command.output()).await.map_err(|_| Trouble::Hangs)?;
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Trouble::Missing,
            _ => Trouble::Cannot(error.to_string()),
        })?;
        let printed = Zeroizing::new(output.stdout);
        if output.status.success() {
            return read(&printed).ok_or(Trouble::Unreadable);
        }
        Err(Trouble::told(&String::from_utf8_lossy(&output.stderr)))
    }
}

impl Source for Command {
    fn name(&self) -> &'static str {
        self.tool.name()
    }

    fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Fetched, AuthError>> {
        Box::pin(self.token(wanted))
    }
}

/// Why a tool gave no token. What it prints is never shown.
enum Trouble {
    Missing,
    Cannot(String),
    Hangs,
    Unreadable,
    NoTenantWanted,
    NotSignedIn,
    /// With Entra's number, if it says one.
    Failed(Option<String>),
}

impl Trouble {
    fn told(stderr: &str) -> Trouble {
        let says = |words: &str| stderr.contains(words);
        if says("enant shouldn't be specified") {
            return Trouble::NoTenantWanted;
        }
        if says("az login") || says("azd auth login") || says("not logged in") {
            return Trouble::NotSignedIn;
        }
        let digits = stderr.split_once("AADSTS").map(|(_, rest)| rest);
        let digits = digits.map(|rest| rest.chars().take_while(char::is_ascii_digit).take(9).collect::<String>());
        Trouble::Failed(digits.filter(|digits| !digits.is_empty()))
    }

    fn error(self, tool: Tool) -> AuthError {
        let (program, name, sign_in) = (tool.program(), tool.name(), tool.sign_in());
        match self {
            Trouble::Missing => AuthError::Unusable(format!("{name} is not installed: there is no {program} in PATH")),
            Trouble::Cannot(error) => AuthError::Unusable(format!("cannot run {program}: {error}")),
            Trouble::Hangs => {
                AuthError::Unreachable(format!("{program} gave no token in {} s: is the network up?", LIMIT.as_secs()))
            }
            Trouble::Unreadable => AuthError::Unusable(format!(
                "{program} printed no token that can be read: version 2.54 of az, or a recent azd, is needed"
            )),
            Trouble::NotSignedIn => AuthError::Refused(format!(
                "nobody is signed in to {name}: run `{sign_in}` as the user that akvfs runs as"
            )),
            Trouble::Failed(Some(number)) => AuthError::Refused(format!(
                "{program} gave no token (AADSTS{number}): run `{sign_in}` again, in the vault's tenant"
            )),
            Trouble::NoTenantWanted | Trouble::Failed(None) => {
                AuthError::Unreachable(format!("{program} gave no token: run it by hand to see why"))
            }
        }
    }
}

/// What `az account get-access-token` prints (`accessToken`, `expires_on` in unix seconds), or
/// `azd auth token` (`token`, `expiresOn` in RFC 3339).
#[derive(Deserialize)]
struct Printed {
    #[serde(alias = "accessToken")]
    token: SecretBytes,
    expires_on: Option<i64>,
    #[serde(rename = "expiresOn")]
    expires_at: Option<String>,
}

fn read(printed: &[u8]) -> Option<Fetched> {
    let printed: Printed = serde_json::from_slice(printed).ok()?;
    let token = Token::parse(printed.token.expose())?;
    let stated = printed.expires_at.and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
    let unix = printed.expires_on.or(stated.map(OffsetDateTime::unix_timestamp))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Both tools know when their own tokens expire, by this machine's clock.
    let life = u64::try_from(unix).ok().and_then(|unix| Duration::from_secs(unix).checked_sub(now))?;
    Some(Fetched::living(token, life, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tools_answers_are_read() {
        for printed in [
            r#"{"accessToken":"a.b.c","expiresOn":"2100-01-01 10:00:00.000000","expires_on":4102444800,"subscription":"s","tenant":"t","tokenType":"Bearer"}"#,
            r#"{"token":"a.b.c","expiresOn":"2100-01-01T00:00:00Z"}"#,
        ] {
            assert_eq!(*read(printed.as_bytes()).unwrap().token.header(), b"Bearer a.b.c", "{printed}");
        }
        for printed in [
            "",
            "{}",
            r#"{"accessToken":"a b","expires_on":4102444800}"#,
            r#"{"accessToken":"a","expires_on":1}"#,
            r#"{"accessToken":"a","expiresOn":"2100-01-01 10:00:00"}"#,
        ] {
            assert!(read(printed.as_bytes()).is_none(), "{printed}");
        }
    }

    #[test]
    fn what_a_tool_complains_of_is_sorted_and_not_quoted() {
        let error = |stderr: &str| Trouble::told(stderr).error(Tool::AzureCli).to_string();
        assert!(error("ERROR: Please run 'az login' to setup account. canary").contains("run `az login`"));
        assert!(error("ERROR: AADSTS50076: canary").contains("(AADSTS50076)"));
        assert!(error("canary").contains("run it by hand"));
        for stderr in ["ERROR: AADSTS50076: canary", "canary"] {
            assert!(!error(stderr).contains("canary"));
        }
    }
}
