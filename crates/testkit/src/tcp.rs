//! A slow, lossy or silent wire: a proxy for any protocol over TCP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Pieces under way in one direction of one connection; a sender waits when there are more.
const PIECES_MAX: usize = 4096;
/// Bytes read at a time: as much as one message of a busy client.
const PIECE_BYTES: usize = 64 * 1024;

/// A proxy before one address on 127.0.0.1. Connections end with it.
#[derive(Debug)]
pub struct TcpProxy {
    port: u16,
    control: watch::Sender<Control>,
    forward: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
struct Control {
    delay: Duration,
    /// Rises when all connections are to end.
    cut: u64,
    /// Whether nothing passes, in either direction.
    held: bool,
    /// Whether only answers are lost.
    deaf: bool,
}

impl TcpProxy {
    /// Listens on a free port, and passes everything on to a port with a delay in each direction.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(to: u16, delay: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let control = watch::Sender::new(Control {
            delay,
            cut: 0,
            held: false,
            deaf: false,
        });
        let forward = Arc::new(AtomicU64::new(0));
        let target = SocketAddr::from(([127, 0, 0, 1], to));
        let accepting = tokio::spawn(accept(
            listener,
            target,
            control.subscribe(),
            Arc::clone(&forward),
        ));
        Ok(Self {
            port,
            control,
            forward,
            accepting,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections, with whatever is under way. New ones are taken.
    pub fn cut(&self) {
        self.control.send_modify(|control| control.cut += 1);
    }

    /// From now on nothing passes, in either direction, until [`TcpProxy::release`].
    pub fn hold(&self) {
        self.control.send_modify(|control| control.held = true);
    }

    /// From now on what comes back is lost, and what goes there passes.
    pub fn deafen(&self) {
        self.control.send_modify(|control| control.deaf = true);
    }

    /// Everything passes again; what was held passes now.
    pub fn release(&self) {
        self.control.send_modify(|control| {
            control.held = false;
            control.deaf = false;
        });
    }

    /// How many pieces went there so far: what a client writes at once is one.
    pub fn pieces(&self) -> u64 {
        self.forward.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    control: watch::Receiver<Control>,
    forward: Arc<AtomicU64>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (control, forward) = (control.clone(), Arc::clone(&forward));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            let _delays = (client.set_nodelay(true), server.set_nodelay(true));
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            let cut = control.borrow().cut;
            let mut ends = control.clone();
            tokio::select! {
                _ = ends.wait_for(|control| control.cut != cut) => {}
                () = pass(client_reads, server_writes, control.clone(), Some(forward)) => {}
                () = pass(server_reads, client_writes, control, None) => {}
            }
        });
    }
}

/// Passes one direction on until it ends. What goes back is not counted.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut control: watch::Receiver<Control>,
    count: Option<Arc<AtomicU64>>,
) {
    let is_answer = count.is_none();
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let delay = control.clone();
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if let Some(count) = &count {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let due = Instant::now() + delay.borrow().delay;
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if control.wait_for(|control| !control.held).await.is_err() {
                return;
            }
            let lost = is_answer && control.borrow().deaf;
            if !lost && to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reads, mut writes) = stream.split();
                    tokio::io::copy(&mut reads, &mut writes).await
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn it_delays_holds_and_cuts() {
        let delay = Duration::from_millis(20);
        let proxy = TcpProxy::start(echo().await, delay).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port()))
            .await
            .unwrap();
        let mut buffer = [0; 4];
        let asked = Instant::now();
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(asked.elapsed() >= 2 * delay, "{:?}", asked.elapsed());
        assert_eq!((&buffer, proxy.pieces()), (b"ping", 1));
        proxy.hold();
        stream.write_all(b"held").await.unwrap();
        let early = tokio::time::timeout(4 * delay, stream.read_exact(&mut buffer)).await;
        assert!(early.is_err(), "held");
        proxy.release();
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"held");
        proxy.cut();
        assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0, "cut");
    }
}
