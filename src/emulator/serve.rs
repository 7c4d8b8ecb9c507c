//! Where the vault listens: a Unix socket only its owner can open, or a loopback address.
//! Refuses every other address: the vault is no server for a network.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::Mode;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::EmulatorError;
use super::ca::Credentials;
use super::connection::{Connection, Peer};
use super::origin::Scheme;

/// How long a client may take over its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A listening vault. It stops, and its socket file goes, when this is dropped.
#[derive(Debug)]
pub struct Serving {
    url: String,
    ca_pem: Option<String>,
    socket: Option<PathBuf>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    /// The vault's URL: `https://ADDRESS:PORT`, or `http://NAME.vault.localhost` for a client that
    /// connects through the Unix socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority behind the TLS certificate, in PEM; `None` on a socket.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Stops: the listener is closed and every connection cut when this returns.
    pub async fn stop(mut self) {
        self.shut();
        for task in std::mem::take(&mut self.tasks) {
            // The only error is that it was aborted, which is the intent.
            let _ = task.await;
        }
    }

    fn shut(&mut self) {
        self.stop.send_replace(true);
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(path) = self.socket.take() {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Serves on a socket file of mode 0600 at `path`.
pub(super) fn serve_unix(app: Router, path: &Path, vault: &str) -> Result<Serving, EmulatorError> {
    let listener = bind_unix(path)?;
    let stop = watch::Sender::new(false);
    let listener = Sockets { listener, stopped: stop.subscribe() };
    Ok(Serving {
        url: format!("http://{}.vault.localhost", vault.to_ascii_lowercase()),
        ca_pem: None,
        socket: Some(path.to_owned()),
        stop,
        tasks: vec![tokio::spawn(serve(listener, app))],
    })
}

/// Serves plain HTTP at a loopback address.
pub(super) async fn serve_plain(app: Router, address: SocketAddr) -> Result<Serving, EmulatorError> {
    let (listener, address) = bind_loopback(address).await?;
    let stop = watch::Sender::new(false);
    Ok(Serving {
        url: format!("http://{address}"),
        ca_pem: None,
        socket: None,
        tasks: vec![tokio::spawn(serve(Plain { listener, stopped: stop.subscribe() }, app))],
        stop,
    })
}

/// Serves TLS at `address`, which has to be a loopback one.
pub(super) async fn serve_tls(
    app: Router,
    address: SocketAddr,
    credentials: Credentials,
) -> Result<Serving, EmulatorError> {
    let (listener, address) = bind_loopback(address).await?;
    let stop = watch::Sender::new(false);
    // A handshake that nobody takes over yet waits here; more than a few mean the server is busy.
    let (ready, streams) = mpsc::channel(16);
    let acceptor = TlsAcceptor::from(credentials.server);
    let handshakes = tokio::spawn(accept_tls(listener, acceptor, ready));
    let listener = Streams { streams, address, stopped: stop.subscribe() };
    Ok(Serving {
        url: format!("https://{address}"),
        ca_pem: Some(credentials.ca_pem),
        socket: None,
        stop,
        tasks: vec![handshakes, tokio::spawn(serve(listener, app))],
    })
}

async fn bind_loopback(address: SocketAddr) -> Result<(TcpListener, SocketAddr), EmulatorError> {
    if !address.ip().is_loopback() {
        return Err(EmulatorError::NotLoopback(address));
    }
    let refused = |error| EmulatorError::Listen(address.to_string(), error);
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

async fn serve<L>(listener: L, app: Router)
where
    L: Listener<Addr: std::fmt::Debug>,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let app = app.into_make_service_with_connect_info::<Peer>();
    // axum's server has no error of its own: it ends when it is aborted.
    let _ = axum::serve(listener, app).await;
}

/// Binds a socket file that nobody else can open at any moment: Linux makes the file with the
/// mode the unbound socket was given.
fn bind_unix(path: &Path) -> Result<UnixListener, EmulatorError> {
    let refused = |error| EmulatorError::Listen(path.display().to_string(), error);
    clear_dead_socket(path)?;
    let owner_only = Mode::S_IRUSR | Mode::S_IWUSR;
    let bind = || -> nix::Result<OwnedFd> {
        use nix::sys::{socket, stat};
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        stat::fchmod(&fd, owner_only)?;
        socket::bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        socket::listen(&fd, Backlog::MAXCONN)?;
        Ok(fd)
    };
    let listener = std::os::unix::net::UnixListener::from(bind().map_err(|e| refused(e.into()))?);
    UnixListener::from_std(listener).map_err(refused)
}

/// Removes a socket file whose server is gone; refuses to touch a live one or any other file.
fn clear_dead_socket(path: &Path) -> Result<(), EmulatorError> {
    let refused = |kind| EmulatorError::Listen(path.display().to_string(), io::Error::from(kind));
    let Ok(file) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !file.file_type().is_socket() {
        return Err(refused(io::ErrorKind::AlreadyExists));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| refused(error.kind()))
        }
        _ => Err(refused(io::ErrorKind::AddrInUse)),
    }
}

/// Accepts for ever; each handshake runs in a task of its own, so a slow client delays nobody.
async fn accept_tls(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<TlsStream<TcpStream>>) {
    let mut listener = listener;
    loop {
        // axum's `accept`, which waits out errors such as too many open files.
        let (stream, _) = Listener::accept(&mut listener).await;
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            // Answers are small and whole: waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Fails only when the server has stopped.
                let _ = ready.send(stream).await;
            }
        });
    }
}

struct Sockets {
    listener: UnixListener,
    stopped: watch::Receiver<bool>,
}

impl Listener for Sockets {
    type Io = Connection<UnixStream>;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, ()) {
        let (stream, _) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, Scheme::Http, self.stopped.clone()), ())
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

struct Plain {
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
}

impl Listener for Plain {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, Scheme::Http, self.stopped.clone()), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct Streams {
    streams: mpsc::Receiver<TlsStream<TcpStream>>,
    address: SocketAddr,
    stopped: watch::Receiver<bool>,
}

impl Listener for Streams {
    type Io = Connection<TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.streams.recv().await {
            Some(stream) => {
                let connection = Connection::new(stream, Scheme::Https, self.stopped.clone());
                (connection, self.address)
            }
            // The accepting task is gone: the server is stopping.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Sockets>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        stream.io().peer().clone()
    }
}

impl Connected<IncomingStream<'_, Plain>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Plain>) -> Self {
        stream.io().peer().clone()
    }
}

impl Connected<IncomingStream<'_, Streams>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Streams>) -> Self {
        stream.io().peer().clone()
    }
}
