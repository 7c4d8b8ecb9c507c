//! What `akvfs request` is to do.

use std::path::{Path, PathBuf};

use super::{AccessConfig, UsageError, absolute, absolute_if_given};
use crate::cli::RequestArgs;

/// Everything `akvfs request` needs to know.
#[derive(Clone, Debug)]
pub struct RequestConfig {
    /// How to reach the vault.
    pub access: AccessConfig,
    /// As typed.
    pub method: String,
    /// As typed.
    pub path: String,
    /// Where the body comes from.
    pub body: Option<Body>,
    /// Whether to show status and headers.
    pub include: bool,
    /// Where the answer goes; `None` for standard output.
    pub output: Option<PathBuf>,
}

/// Where a body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl RequestConfig {
    /// What the flags mean.
    ///
    /// # Errors
    /// The first contradiction that is found.
    pub fn from_args(args: &RequestArgs) -> Result<RequestConfig, UsageError> {
        let body = |path: &PathBuf| match path {
            path if path == Path::new("-") => Ok(Body::Stdin),
            path => absolute(path).map(Body::File),
        };
        Ok(RequestConfig {
            access: AccessConfig::from_args(&args.vault, &args.access)?,
            method: args.method.clone(),
            path: args.path.clone(),
            body: args.body.as_ref().map(body).transpose()?,
            include: args.include,
            output: absolute_if_given(args.output.as_deref())?,
        })
    }
}
