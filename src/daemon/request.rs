//! `akvfs request`: one call, and its answer as it came.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use zeroize::Zeroizing;

use super::connect::{connect, credential};
use super::{Failure, runtime};
use crate::config::{Body, RequestConfig};
use crate::sys::{SecretBytes, forbid_dumps};
use crate::vault::http::{RawAnswer, RawCall};

/// The largest backup, and more than anything else.
const BODY_MAX: u64 = 128 * 1024 * 1024;

/// Sends one request, and writes the answer.
///
/// # Errors
/// Where there is no answer, where it is no success, or where it cannot be written.
pub fn request(config: RequestConfig) -> Result<(), Failure> {
    forbid_dumps().map_err(|error| Failure::system("cannot forbid core dumps", &error))?;
    let credential = credential(&config.access)?;
    let body = config.body.as_ref().map(read).transpose()?;
    let call = RawCall::new(&config.method, &config.path, body).map_err(Failure::unsendable)?;
    let runtime = runtime()?;
    let answer = runtime.block_on(async {
        let (vault, _embedded) = connect(&config.access, credential).await?;
        let outcome = vault.request(call).await.map_err(Failure::unsendable)?;
        Ok::<_, Failure>(outcome?)
    });
    // A token file on a filesystem that hangs keeps its reader for ever; the command is not to wait for it.
    runtime.shutdown_background();
    let answer = answer?;
    write(&config, &answer).map_err(|error| Failure::system("cannot write the answer", &error))?;
    Failure::of_status(answer.status).map_or(Ok(()), Err)
}

fn read(body: &Body) -> Result<SecretBytes, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = match body {
        Body::Stdin => io::stdin().lock().take(BODY_MAX).read_to_end(&mut bytes),
        Body::File(path) => File::open(path).and_then(|file| file.take(BODY_MAX).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::system("cannot read the body", &error))?;
    Ok(SecretBytes::new(std::mem::take(&mut bytes)))
}

fn write(config: &RequestConfig, answer: &RawAnswer) -> io::Result<()> {
    let mut to: Box<dyn Write> = match &config.output {
        None => Box::new(io::stdout().lock()),
        Some(path) => Box::new(File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?),
    };
    if config.include {
        write!(to, "HTTP/1.1 {}\r\n", answer.status)?;
        for (name, value) in &answer.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        to.write_all(b"\r\n")?;
    }
    to.write_all(answer.body.expose())?;
    to.flush()
}
