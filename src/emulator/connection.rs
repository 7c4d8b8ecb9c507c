//! One accepted connection: plain or TLS, with a switch that cuts it off. The switch is how a
//! stopping server and an injected reset end a request that would otherwise hang.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::origin::Scheme;

/// What a request needs to know of the connection it came by.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) scheme: Scheme,
    cut: watch::Sender<bool>,
}

impl Peer {
    pub(super) fn new(scheme: Scheme) -> Self {
        Peer { scheme, cut: watch::Sender::new(false) }
    }

    /// Cuts the connection off, and with it the request that calls: this never returns.
    pub(super) async fn cut_off(&self) -> ! {
        self.cut.send_replace(true);
        std::future::pending().await
    }
}

/// A stream that ends with `ConnectionReset` once it is cut off.
pub(super) struct Connection<S> {
    stream: S,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    peer: Peer,
}

impl<S> Connection<S> {
    /// Wraps `stream`; `stopped` turns true when the server stops.
    pub(super) fn new(stream: S, scheme: Scheme, stopped: watch::Receiver<bool>) -> Self {
        let peer = Peer::new(scheme);
        let cut = Box::pin(first_true(peer.cut.subscribe(), stopped));
        Connection { stream, cut, peer }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }
}

async fn first_true(mut one: watch::Receiver<bool>, mut other: watch::Receiver<bool>) {
    // A vanished sender counts as true: nobody is left to serve.
    tokio::select! {
        _ = one.wait_for(|&cut| cut) => {}
        _ = other.wait_for(|&stop| stop) => {}
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    /// hyper always has a read under way, also while a request is being answered, so this is
    /// enough to end both.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(context).is_ready() {
            // A future that has finished must not be polled again.
            self.cut = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
