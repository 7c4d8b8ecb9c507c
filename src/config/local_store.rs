//! Where the vault behind `local:` is kept, and what opens it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::UsageError;

/// Name of the systemd credential that holds the key (systemd.exec(5), `LoadCredentialEncrypted=`).
const CREDENTIAL: &str = "akvfs-key";

/// A vault that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStore {
    /// Its folder; made on first use.
    pub directory: PathBuf,
    /// The file with its key; `None` for one that is generated beside the store.
    pub key_file: Option<PathBuf>,
}

impl LocalStore {
    /// A store in a given folder. Its key comes from `--key-file`, or else from the systemd credential
    /// `akvfs-key`, or else from a file that is made beside it.
    pub(super) fn in_folder(directory: PathBuf, key_file: Option<PathBuf>) -> LocalStore {
        LocalStore { directory, key_file: key_file.or_else(|| credential(&|name| env::var_os(name))) }
    }

    /// The store of `local:NAME`, in the state directory of the service or the user.
    pub(super) fn of_vault(name: &str, key_file: Option<PathBuf>) -> Result<LocalStore, UsageError> {
        let folder = state_folder(&|name| env::var_os(name)).ok_or(UsageError::NoStateFolder)?;
        Ok(LocalStore::in_folder(folder.join(name), key_file))
    }
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn credential(environment: Environment<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(environment("CREDENTIALS_DIRECTORY")?).join(CREDENTIAL);
    path.exists().then_some(path)
}

/// `$STATE_DIRECTORY` is systemd's, the others are the XDG base directories'.
fn state_folder(environment: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(of_service) = absolute("STATE_DIRECTORY") {
        return Some(of_service);
    }
    let of_user = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    of_user.map(|folder| folder.join("akvfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(variables: &[(&str, &str)]) -> Option<String> {
        let find = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        state_folder(&find).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_services_state_directory_comes_before_the_users() {
        let all = [("STATE_DIRECTORY", "/var/lib/akvfs"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/me")];
        assert_eq!(folder(&all).unwrap(), "/var/lib/akvfs");
        assert_eq!(folder(&all[1..]).unwrap(), "/xdg/akvfs");
        assert_eq!(folder(&all[2..]).unwrap(), "/home/me/.local/state/akvfs");
        assert_eq!(folder(&[("XDG_STATE_HOME", "relative")]), None);
    }
}
