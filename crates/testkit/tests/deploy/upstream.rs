//! Instances that say who they are, wait, or die when they have heard a call.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What an instance does with a call that it has heard to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Answers.
    Answer,
    /// Answers once it is let go.
    Wait,
    /// Sends a first event, and the second once it is let go.
    Stream,
    /// Ends the connection without a word.
    Die,
    /// Says that one relayer's node is down.
    Unavailable,
}

/// A call as an instance heard it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The request line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

/// A small instance on a free loopback port.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    heard: watch::Sender<Vec<Heard>>,
    gate: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start(name: &str, habit: Habit) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, gate) = (watch::Sender::new(Vec::new()), watch::Sender::new(false));
        let instance = Arc::new(Instance {
            name: name.to_owned(),
            habit,
            heard: heard.clone(),
            gate: gate.clone(),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&instance);
                let connection = tokio::spawn(async move { serving.serve(stream).await });
                let mut all = instance
                    .connections
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                all.push(Ending(connection));
            }
        });
        Self {
            address,
            heard,
            gate,
            accepting,
        }
    }

    /// How many calls it heard.
    pub(crate) fn count(&self) -> usize {
        self.heard.borrow().len()
    }

    /// What it heard, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.borrow().clone()
    }

    /// Until it has heard so many calls.
    pub(crate) async fn until(&self, count: usize) {
        let mut heard = self.heard.subscribe();
        heard.wait_for(|heard| heard.len() >= count).await.unwrap();
    }

    /// Lets go what waits.
    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Instance {
    name: String,
    habit: Habit,
    heard: watch::Sender<Vec<Heard>>,
    gate: watch::Sender<bool>,
    connections: Mutex<Vec<Ending>>,
}

/// A connection that ends with the instance.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Instance {
    async fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(heard) = read_call(&mut stream).await {
            self.heard.send_modify(|all| all.push(heard));
            if self.answer(&mut stream).await.is_err() || self.habit == Habit::Die {
                return;
            }
        }
    }

    async fn answer(&self, stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
        match self.habit {
            Habit::Die => return Ok(()),
            Habit::Answer => {}
            Habit::Unavailable => {
                let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                return stream.write_all(head.as_bytes()).await;
            }
            Habit::Wait => self.opened().await,
            Habit::Stream => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                            Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                self.opened().await;
                return stream.write_all(b"8\r\ndata: 2\n\r\n0\r\n\r\n").await;
            }
        }
        let (name, length) = (&self.name, self.name.len());
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
        stream.write_all(answer.as_bytes()).await
    }

    async fn opened(&self) {
        // The sender is this instance's own.
        let mut gate = self.gate.subscribe();
        let _open = gate.wait_for(|open| *open).await;
    }
}

async fn read_call(stream: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Heard {
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
