//! Which of the ways to sign in is meant: the one that is named, or the first of which there is a sign.
//! What is chosen is tried alone: a second identity must not get in where the first one was refused.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use super::{NoWorkingDirectory, absolute_if_given};
use crate::auth::{ApplicationSettings, SecretPlace, SignIn};
use crate::cli::{Auth, AuthArgs};

/// Names of systemd credentials (systemd.exec(5), `LoadCredentialEncrypted=`).
const SECRET_CREDENTIAL: &str = "azure-client-secret";
const CERTIFICATE_CREDENTIAL: &str = "azure-client-certificate";
/// Azure gives this to the chassis of every virtual machine.
const AZURE_CHASSIS: &str = "7783-7084-3265-9085-8269-3286-77";
const METADATA_SERVICE: &str = "http://169.254.169.254";

/// Flags and variables that do not make a way to sign in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// A path that is relative to nothing.
    #[error(transparent)]
    NoWorkingDirectory(#[from] NoWorkingDirectory),
    /// No token.
    #[error(
        "--auth token-file needs --token-file FILE, with a token for https://vault.azure.net in it: \
         `akvfs mount --help` shows how to get one"
    )]
    TokenFileMissing,
    /// A part of an application's sign-in is missing.
    #[error("--auth {0} needs {1}")]
    Missing(&'static str, &'static str),
    /// A flag of another way.
    #[error("{0} is of no use with --auth {1}: leave one of them out")]
    Useless(&'static str, &'static str),
    /// No way at all.
    #[error(
        "there is no way to sign in: give --token-file FILE, or --client-id with --client-secret-file or \
         --client-certificate, or sign in by `az login`, or say --auth managed-identity on a machine of Azure's"
    )]
    NoWay,
    /// A variable that should hold a URL.
    #[error("{0} is {1:?}, which is no {2} URL of a host")]
    Url(&'static str, String, &'static str),
}

/// What there may be signs of a way to sign in in.
pub(super) struct Surroundings<'a> {
    variable: Question<'a, str, Option<OsString>>,
    has_program: Question<'a, str, bool>,
    has_file: Question<'a, Path, bool>,
    is_azure_machine: bool,
}

type Question<'a, Of, Answer> = Box<dyn Fn(&Of) -> Answer + 'a>;

impl Surroundings<'_> {
    pub(super) fn of_this_process() -> Surroundings<'static> {
        Surroundings {
            variable: Box::new(|name| env::var_os(name).filter(|value| !value.is_empty())),
            has_program: Box::new(is_in_path),
            has_file: Box::new(Path::exists),
            is_azure_machine: fs::read_to_string("/sys/class/dmi/id/chassis_asset_tag")
                .is_ok_and(|tag| tag.trim() == AZURE_CHASSIS),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name)?.into_string().ok()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).map(PathBuf::from)
    }

    fn credential(&self, name: &str) -> Option<PathBuf> {
        self.path("CREDENTIALS_DIRECTORY").map(|folder| folder.join(name)).filter(|path| (self.has_file)(path))
    }
}

fn is_in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The way to sign in, and why that one.
pub(super) fn choose(args: &AuthArgs, vault: &Url, around: &Surroundings<'_>) -> Result<(SignIn, String), SignInError> {
    let signs = Signs { args, vault, around };
    let (auth, because) = match args.auth {
        Auth::Auto => signs.first()?.ok_or(SignInError::NoWay)?,
        named => (named, "--auth says so"),
    };
    signs.check_flags(auth)?;
    let sign_in = signs.sign_in(auth)?;
    Ok((sign_in, because.to_owned()))
}

struct Signs<'a> {
    args: &'a AuthArgs,
    vault: &'a Url,
    around: &'a Surroundings<'a>,
}

impl Signs<'_> {
    /// The order of `--auth auto`.
    fn first(&self) -> Result<Option<(Auth, &'static str)>, SignInError> {
        let (args, around) = (self.args, self.around);
        let is_set = |name: &str| (around.variable)(name).is_some();
        let ways = [
            (args.token_file.is_some(), Auth::TokenFile, "--token-file is given"),
            (self.secret()?.is_some(), Auth::ClientSecret, "there is a client secret"),
            (self.certificate()?.is_some(), Auth::ClientCertificate, "there is a client certificate"),
            (is_set("AZURE_FEDERATED_TOKEN_FILE"), Auth::WorkloadIdentity, "AZURE_FEDERATED_TOKEN_FILE is set"),
            (is_set("IDENTITY_ENDPOINT"), Auth::ManagedIdentity, "IDENTITY_ENDPOINT is set"),
            (around.is_azure_machine, Auth::ManagedIdentity, "this is a virtual machine of Azure's"),
            ((around.has_program)("az"), Auth::AzureCli, "az is installed"),
            ((around.has_program)("azd"), Auth::AzureDeveloperCli, "azd is installed"),
        ];
        Ok(ways.into_iter().find(|(there, ..)| *there).map(|(_, auth, because)| (auth, because)))
    }

    /// A flag of another way would be ignored, which is not what was meant.
    fn check_flags(&self, auth: Auth) -> Result<(), SignInError> {
        let args = self.args;
        for (given, flag, of) in [
            (args.token_file.is_some(), "--token-file", Auth::TokenFile),
            (args.client_secret_file.is_some(), "--client-secret-file", Auth::ClientSecret),
            (args.client_certificate.is_some(), "--client-certificate", Auth::ClientCertificate),
        ] {
            if given && auth != of {
                return Err(SignInError::Useless(flag, name(auth)));
            }
        }
        Ok(())
    }

    fn sign_in(&self, auth: Auth) -> Result<SignIn, SignInError> {
        let missing = |what| SignInError::Missing(name(auth), what);
        let identity = self.args.client_id.clone();
        let tenant = self.args.tenant_id.clone();
        match auth {
            Auth::Auto => Err(SignInError::NoWay),
            Auth::TokenFile => {
                let path = absolute_if_given(self.args.token_file.as_deref())?;
                path.map(SignIn::TokenFile).ok_or(SignInError::TokenFileMissing)
            }
            Auth::ClientSecret => {
                let secret = self.secret()?.ok_or_else(|| missing("--client-secret-file, or AZURE_CLIENT_SECRET"))?;
                Ok(SignIn::ClientSecret { application: self.application(auth)?, secret })
            }
            Auth::ClientCertificate => {
                let path = self.certificate()?;
                let path = path.ok_or_else(|| missing("--client-certificate, or AZURE_CLIENT_CERTIFICATE_PATH"))?;
                Ok(SignIn::ClientCertificate { application: self.application(auth)?, path })
            }
            Auth::WorkloadIdentity => {
                let token_file = self.around.path("AZURE_FEDERATED_TOKEN_FILE");
                let token_file = token_file.ok_or_else(|| missing("AZURE_FEDERATED_TOKEN_FILE"))?;
                Ok(SignIn::WorkloadIdentity { application: self.application(auth)?, token_file })
            }
            Auth::ManagedIdentity => match self.around.text("IDENTITY_ENDPOINT") {
                Some(text) => Ok(SignIn::AppService { endpoint: local_url("IDENTITY_ENDPOINT", &text)?, identity }),
                None => {
                    let variable = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
                    let text = self.around.text(variable).unwrap_or_else(|| METADATA_SERVICE.to_owned());
                    Ok(SignIn::VirtualMachine { endpoint: local_url(variable, &text)?, identity })
                }
            },
            Auth::AzureCli => Ok(SignIn::AzureCli { tenant }),
            Auth::AzureDeveloperCli => Ok(SignIn::AzureDeveloperCli { tenant }),
        }
    }

    fn secret(&self) -> Result<Option<SecretPlace>, SignInError> {
        let file = absolute_if_given(self.args.client_secret_file.as_deref())?;
        let file = file.or_else(|| self.around.credential(SECRET_CREDENTIAL));
        let variable = || (self.around.variable)("AZURE_CLIENT_SECRET").map(|_| SecretPlace::Environment);
        Ok(file.map(SecretPlace::File).or_else(variable))
    }

    fn certificate(&self) -> Result<Option<PathBuf>, SignInError> {
        let file = absolute_if_given(self.args.client_certificate.as_deref())?;
        let file = file.or_else(|| self.around.credential(CERTIFICATE_CREDENTIAL));
        let file = file.or_else(|| self.around.path("AZURE_CLIENT_CERTIFICATE_PATH"));
        Ok(absolute_if_given(file.as_deref())?)
    }

    fn application(&self, auth: Auth) -> Result<ApplicationSettings, SignInError> {
        let client_id = self.args.client_id.clone();
        let client_id = client_id.ok_or(SignInError::Missing(name(auth), "--client-id, or AZURE_CLIENT_ID"))?;
        Ok(ApplicationSettings { authority: self.authority()?, tenant: self.args.tenant_id.clone(), client_id })
    }

    /// Who gets what proves the identity. The vault's challenge has no say in it.
    fn authority(&self) -> Result<Url, SignInError> {
        const VARIABLE: &str = "AZURE_AUTHORITY_HOST";
        let Some(given) = self.around.text(VARIABLE) else { return Ok(usual_authority(self.vault)) };
        let text = if given.contains("://") { given.clone() } else { format!("https://{given}") };
        let url = Url::parse(&text).ok().filter(|_| !text.contains('\\'));
        let is_host = |url: &Url| url.scheme() == "https" && url.username().is_empty() && url.path() == "/";
        url.filter(is_host).ok_or(SignInError::Url(VARIABLE, given, "https"))
    }
}

/// The authority of the cloud that a vault belongs to.
fn usual_authority(vault: &Url) -> Url {
    let host = vault.host_str().unwrap_or_default();
    let authority = if host.ends_with(".vault.azure.cn") {
        "https://login.chinacloudapi.cn"
    } else if host.ends_with(".vault.usgovcloudapi.net") {
        "https://login.microsoftonline.us"
    } else {
        "https://login.microsoftonline.com"
    };
    // Constants are URLs; the vault's own address could not do harm, as nothing is proved to it.
    Url::parse(authority).unwrap_or_else(|_| vault.clone())
}

fn local_url(variable: &'static str, text: &str) -> Result<Url, SignInError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| SignInError::Url(variable, text.to_owned(), "http"))
}

fn name(auth: Auth) -> &'static str {
    match auth {
        Auth::Auto => "auto",
        Auth::TokenFile => "token-file",
        Auth::ClientSecret => "client-secret",
        Auth::ClientCertificate => "client-certificate",
        Auth::WorkloadIdentity => "workload-identity",
        Auth::ManagedIdentity => "managed-identity",
        Auth::AzureCli => "azure-cli",
        Auth::AzureDeveloperCli => "azure-developer-cli",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FLAGS: AuthArgs = AuthArgs {
        auth: Auth::Auto,
        token_file: None,
        client_id: None,
        tenant_id: None,
        client_secret_file: None,
        client_certificate: None,
    };

    /// A machine with these variables, programs and files.
    fn chosen(
        args: AuthArgs,
        variables: &[(&str, &str)],
        programs: &[&str],
        files: &[&str],
    ) -> Result<SignIn, SignInError> {
        let find = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        let around = Surroundings {
            variable: Box::new(find),
            has_program: Box::new(|program| programs.contains(&program)),
            has_file: Box::new(|path| files.iter().any(|file| Path::new(file) == path)),
            is_azure_machine: programs.contains(&"(azure)"),
        };
        let vault = Url::parse("https://mine.vault.azure.net").unwrap();
        choose(&args, &vault, &around).map(|(sign_in, _)| sign_in)
    }

    fn way(sign_in: &SignIn) -> &'static str {
        match sign_in {
            SignIn::TokenFile(_) => "token-file",
            SignIn::ClientSecret { .. } => "client-secret",
            SignIn::ClientCertificate { .. } => "client-certificate",
            SignIn::WorkloadIdentity { .. } => "workload-identity",
            SignIn::VirtualMachine { .. } => "virtual-machine",
            SignIn::AppService { .. } => "app-service",
            SignIn::AzureCli { .. } => "azure-cli",
            SignIn::AzureDeveloperCli { .. } => "azure-developer-cli",
        }
    }

    #[test]
    fn auto_takes_the_first_way_of_which_there_is_a_sign() {
        let all = [
            ("CREDENTIALS_DIRECTORY", "/run/credentials"),
            ("AZURE_CLIENT_CERTIFICATE_PATH", "/cert.pem"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/federated"),
            ("IDENTITY_ENDPOINT", "http://localhost:4141/msi/token"),
        ];
        let secret = "/run/credentials/azure-client-secret";
        let programs = ["(azure)", "az", "azd"];
        let flags = || AuthArgs { client_id: Some("app".to_owned()), ..NO_FLAGS };
        let with_token = AuthArgs { token_file: Some("/token".into()), ..flags() };
        let ways = [
            chosen(with_token, &all, &programs, &[]),
            chosen(flags(), &all, &programs, &[secret]),
            chosen(flags(), &[("AZURE_CLIENT_SECRET", "s"), all[1]], &programs, &[]),
            chosen(flags(), &all, &programs, &[]),
            chosen(flags(), &all[2..], &programs, &[]),
            chosen(flags(), &all[3..], &programs, &[]),
            chosen(flags(), &[], &programs, &[]),
            chosen(flags(), &[], &programs[1..], &[]),
            chosen(flags(), &[], &programs[2..], &[]),
        ];
        let ways: Vec<_> = ways.iter().map(|chosen| way(chosen.as_ref().unwrap())).collect();
        assert_eq!(
            ways,
            [
                "token-file",
                "client-secret",
                "client-secret",
                "client-certificate",
                "workload-identity",
                "app-service",
                "virtual-machine",
                "azure-cli",
                "azure-developer-cli",
            ]
        );
        assert_eq!(chosen(NO_FLAGS, &[], &[], &[]), Err(SignInError::NoWay));
    }

    #[test]
    fn a_way_that_lacks_something_is_not_passed_over() {
        let named = |auth| AuthArgs { auth, ..NO_FLAGS };
        for (args, variables, what) in [
            (named(Auth::TokenFile), &[][..], "--token-file FILE"),
            (named(Auth::ClientSecret), &[], "--client-secret-file"),
            (named(Auth::ClientCertificate), &[], "--client-certificate"),
            (named(Auth::WorkloadIdentity), &[], "AZURE_FEDERATED_TOKEN_FILE"),
            (NO_FLAGS, &[("AZURE_CLIENT_SECRET", "s")], "AZURE_CLIENT_ID"),
            (NO_FLAGS, &[("AZURE_FEDERATED_TOKEN_FILE", "/x")], "AZURE_CLIENT_ID"),
            (NO_FLAGS, &[("IDENTITY_ENDPOINT", "nonsense")], "IDENTITY_ENDPOINT"),
            (AuthArgs { token_file: Some("x".into()), ..named(Auth::AzureCli) }, &[], "--token-file is of no use"),
        ] {
            let error = chosen(args, variables, &["az"], &[]).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn the_secret_goes_to_the_clouds_own_authority_or_the_one_that_is_named() {
        let authority = |vault: &str, variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
            let around = Surroundings { variable: Box::new(find), ..Surroundings::of_this_process() };
            let vault = Url::parse(vault).unwrap();
            Signs { args: &NO_FLAGS, vault: &vault, around: &around }.authority().map(|url| url.to_string())
        };
        for (vault, expected) in [
            ("https://a.vault.azure.net", "https://login.microsoftonline.com/"),
            ("https://a.vault.azure.cn", "https://login.chinacloudapi.cn/"),
            ("https://a.vault.usgovcloudapi.net", "https://login.microsoftonline.us/"),
            ("https://localhost:8443", "https://login.microsoftonline.com/"),
        ] {
            assert_eq!(authority(vault, &[]).unwrap(), expected);
        }
        let named = |host| authority("https://a.vault.azure.net", &[("AZURE_AUTHORITY_HOST", host)]);
        assert_eq!(named("https://localhost:8443").unwrap(), "https://localhost:8443/");
        assert_eq!(named("login.example").unwrap(), "https://login.example/");
        for wrong in ["http://login.example", "https://a\\b", "https://u@host", "https://host/path", "://"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
