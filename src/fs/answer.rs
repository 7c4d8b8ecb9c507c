//! Now, or later.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::FsError;

/// The answer to an operation: there already, or on its way.
pub enum Answer<T> {
    /// Known without waiting: the caller can reply on its own thread.
    Now(Result<T, FsError>),
    /// The vault has been asked; somebody has to wait. May be given up at any time.
    Later(BoxFuture<'static, Result<T, FsError>>),
    /// The vault is asked to change something. It has a deadline of its own, and must not be given up.
    Change(BoxFuture<'static, Result<Done<T>, FsError>>),
    /// Waits for the vault to finish what it has agreed to. It has a limit of its own, longer than any
    /// deadline, and may be given up at any time.
    Settling(BoxFuture<'static, Result<T, FsError>>),
}

/// What became of a change.
pub struct Done<T> {
    /// The answer.
    pub value: T,
    /// What is to be waited for before it is given; that may be given up.
    pub settled: Option<BoxFuture<'static, Result<(), FsError>>>,
}

impl<T> From<T> for Done<T> {
    fn from(value: T) -> Done<T> {
        Done { value, settled: None }
    }
}

impl<T> Answer<T> {
    /// Goes as far as can be gone without waiting. What is cached ends here, without a task; call it
    /// within a tokio runtime's context, since what is not cached starts a request.
    pub fn of(work: impl Future<Output = Result<T, FsError>> + Send + 'static) -> Answer<T> {
        let mut work = work.boxed();
        match (&mut work).now_or_never() {
            Some(result) => Answer::Now(result),
            None => Answer::Later(work),
        }
    }

    /// A refusal.
    pub(super) fn refused(error: FsError) -> Answer<T> {
        Answer::Now(Err(error))
    }
}
