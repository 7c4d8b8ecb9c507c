//! `akvfs emulator`: the embedded vault alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::private_folder::PrivateFolder;
use super::sign_in::{Fact, SignIn, Told};
use super::{Failure, Order, Signals, embedded, runtime};
use crate::config::{EmulatorConfig, Listen};
use crate::emulator::{Emulator, EmulatorError, Permission, Serving, TokenSpec};
use crate::sys::forbid_dumps;

/// What the vault calls itself.
const NAME: &str = "emulator";
/// Lifetime of the token in the token file.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The file is rewritten long before its token expires.
const TOKEN_RENEWAL: Duration = Duration::from_secs(8 * 3600);

/// Serves an embedded vault until SIGTERM or Ctrl-C.
///
/// # Errors
/// When the address is taken or not a loopback one, or a file cannot be written.
pub fn emulator(config: EmulatorConfig) -> Result<(), Failure> {
    forbid_dumps().map_err(|error| Failure::system("cannot forbid core dumps", &error))?;
    runtime()?.block_on(serve(&config))
}

async fn serve(config: &EmulatorConfig) -> Result<(), Failure> {
    let vault = match &config.store {
        Some(store) => embedded::open(NAME, store, config.options.clone())?,
        None => Emulator::with_options(NAME, config.options.clone()),
    };
    if config.demo {
        vault.seed_demo()?;
    }
    let _control = match &config.control {
        Some(path) => Some(vault.serve_control(path).await?),
        None => None,
    };
    let serving = listen(&vault, &config.listen).await?;
    let files = Files::new(config)?;
    if let Some(pem) = serving.ca_pem() {
        write_file(&files.ca, 0o644, pem)?;
    }
    let permissions = &config.sign_in.permissions;
    write_token(&vault, permissions, &files.token)?;
    let sign_in = SignIn::offer(&vault, &config.sign_in, serving.url()).await?;
    let line = line(&serving, &sign_in, &files)?;
    let mut signals = Signals::new()?;
    announce(&line).map_err(|error| Failure::system("cannot write to stdout", &error))?;
    let mut renewal = tokio::time::interval(TOKEN_RENEWAL);
    loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Forget => {} // it has no cache
            },
            _ = renewal.tick() => write_token(&vault, permissions, &files.token)?,
        }
    }
    serving.stop().await;
    Ok(())
}

async fn listen(vault: &Emulator, listen: &Listen) -> Result<Serving, EmulatorError> {
    match listen {
        Listen::Tls(address) => vault.serve_tls(*address).await,
        Listen::Http(address) => vault.serve_http(*address).await,
        Listen::Unix(path) => vault.serve_unix(path).await,
    }
}

/// Where the certificate authority and the token are.
struct Files {
    ca: PathBuf,
    token: PathBuf,
    folder: PrivateFolder,
}

impl Files {
    fn new(config: &EmulatorConfig) -> Result<Files, Failure> {
        let folder = PrivateFolder::new().map_err(|error| Failure::system("cannot make a private folder", &error))?;
        let or_private = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| folder.path().join(name));
        Ok(Files { ca: or_private(&config.ca_out, "ca.pem"), token: or_private(&config.token_out, "token"), folder })
    }
}

/// What a client needs to know; secrets are in files of their own.
fn line(serving: &Serving, sign_in: &SignIn, files: &Files) -> Result<Value, Failure> {
    let mut line = json!({ "url": serving.url(), "token_file": files.token });
    if serving.ca_pem().is_some() {
        line["ca"] = json!(files.ca);
    }
    for Fact { key, is } in &sign_in.facts {
        line[*key] = match is {
            Told::Openly(text) => json!(text),
            Told::InAFile(secret) => {
                let path = files.folder.path().join(key.trim_end_matches("_file"));
                write_file(&path, 0o600, secret)?;
                json!(path)
            }
        };
    }
    Ok(line)
}

/// The one line that says that the vault is ready, and where.
fn announce(line: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn write_token(vault: &Emulator, permissions: &[Permission], path: &Path) -> Result<(), Failure> {
    let spec = TokenSpec { lifetime: TOKEN_LIFETIME, permissions: permissions.to_vec(), ..TokenSpec::default() };
    write_file(path, 0o600, &vault.issue_token_for(&spec))
}

/// Replaces a file in one step, so that nobody reads half of it, with its mode from the first moment.
/// Only an ordinary file is replaced: a device or a link in its place means something else.
fn write_file(path: &Path, mode: u32, content: &str) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::system(&format!("cannot write {}", path.display()), &error);
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(cannot(io::Error::new(io::ErrorKind::InvalidInput, "it is there, and not a regular file")));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let _ = fs::remove_file(&new); // left by a crash
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&new, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new); // it may hold a token
        cannot(error)
    })
}
