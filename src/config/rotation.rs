//! What the flags about rotation mean.

use std::path::Path;

use nix::unistd::geteuid;

use super::UsageError;
use crate::cli::RotationArgs;
use crate::rotation::{Action, Pattern, RotationSettings, UnitRule};

/// What the flags mean, for a mount on this directory. Root's units are the system's, another user's are
/// the user's own.
pub(super) fn settings(args: &RotationArgs, directory: &Path) -> Result<RotationSettings, UsageError> {
    let rules = |given: &[String], flag, action| -> Result<Vec<UnitRule>, UsageError> {
        given.iter().map(|given| rule(given, flag, action)).collect()
    };
    let mut units = rules(&args.reload_unit, "--reload-unit", Action::Reload)?;
    units.extend(rules(&args.restart_unit, "--restart-unit", Action::Restart)?);
    Ok(RotationSettings {
        command: args.on_change.clone(),
        units,
        user_units: !geteuid().is_root(),
        directory: directory.to_owned(),
    })
}

fn rule(given: &str, flag: &'static str, action: Action) -> Result<UnitRule, UsageError> {
    let wrong = || UsageError::UnitRule { flag, given: given.to_owned() };
    let (secrets, unit) = given.split_once('=').ok_or_else(wrong)?;
    // The characters of unit names, systemd.unit(5); none starts with a dash, which would be a flag.
    let legal = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let is_unit = unit.contains('.') && !unit.starts_with('-') && unit.chars().all(legal);
    let secrets = Pattern::parse(secrets).filter(|_| is_unit).ok_or_else(wrong)?;
    Ok(UnitRule { secrets, action, unit: unit.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_name_and_a_unit() {
        let good = rule("tls-*=nginx.service", "--reload-unit", Action::Reload).unwrap();
        assert_eq!((good.action, good.unit.as_str()), (Action::Reload, "nginx.service"));
        for bad in
            ["nginx.service", "=nginx.service", "db=", "db=nginx", "db=-x.service", "a b=x.service", "db=a b.service"]
        {
            assert!(rule(bad, "--reload-unit", Action::Reload).is_err(), "{bad}");
        }
    }
}
