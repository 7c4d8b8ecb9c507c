//! Now, or later.

use std::future::Future;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::FsError;

/// The answer to an operation: there already, or on its way.
pub enum Answer<T> {
    /// Known without waiting: the caller can reply on its own thread.
    Now(Result<T, FsError>),
    /// The vault has been asked; somebody has to wait.
    Later(BoxFuture<'static, Result<T, FsError>>),
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
}
