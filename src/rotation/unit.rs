//! systemd units that want to know of a change.

use tokio::process::Command;

use super::batch::Batch;
use super::command;
use super::pattern::Pattern;

/// What a unit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `systemctl reload`
    Reload,
    /// `systemctl try-restart`: a unit that does not run is left alone.
    Restart,
}

/// A unit, and the secrets that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRule {
    /// The secrets.
    pub secrets: Pattern,
    /// What the unit is told.
    pub action: Action,
    /// Its name, such as `nginx.service`.
    pub unit: String,
}

/// What is to be told after a batch, each unit once.
pub(super) fn affected<'a>(rules: &'a [UnitRule], changed: &Batch) -> Vec<(Action, &'a str)> {
    let mut affected = Vec::new();
    for rule in rules.iter().filter(|rule| changed.iter().any(|(name, _)| rule.secrets.matches(name))) {
        let what = (rule.action, rule.unit.as_str());
        if !affected.contains(&what) {
            affected.push(what);
        }
    }
    affected
}

/// Tells a unit, without waiting for it to be done.
pub(super) async fn tell(action: Action, unit: &str, of_user: bool) {
    let (verb, what) = match action {
        Action::Reload => ("reload", "the reload"),
        Action::Restart => ("try-restart", "the restart"),
    };
    let mut systemctl = Command::new("systemctl");
    systemctl.args(of_user.then_some("--user")).args(["--no-block", verb, "--", unit]);
    command::end(&mut systemctl, &format!("{what} of {unit}")).await;
}
