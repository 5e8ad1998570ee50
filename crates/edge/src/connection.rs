//! One connection: when its peer has been silent for too long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Time-outs of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a request, or the start of the connection, to the end of its head.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// Between two bytes that the peer takes of an answer.
    pub(crate) write: Duration,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the rest of a request's head.
    Head,
    /// Handling a request, or sending its answer. The request has its own time-out.
    Handling,
    /// Waiting for the first byte of a request.
    Idle,
}

/// The phase of a connection, shared between its socket and the handling of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<AtomicU8>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(Phase::Head as u8)))
    }

    /// The connection is handling a request until the answer's body is dropped.
    pub(crate) fn handling(&self) -> Handling {
        self.set(Phase::Handling);
        Handling(self.clone())
    }

    fn get(&self) -> Phase {
        let phase = self.0.load(Ordering::Acquire);
        [Phase::Head, Phase::Handling]
            .into_iter()
            .find(|known| *known as u8 == phase)
            .unwrap_or(Phase::Idle)
    }

    fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }
}

/// A request is being handled while this lives.
pub(crate) struct Handling(Activity);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.set(Phase::Idle);
    }
}

/// The body of an answer. The request is handled until this is dropped.
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) _handling: Handling,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that fails once its peer has been silent for too long.
pub(crate) struct Impatient<T> {
    io: T,
    activity: Activity,
    patience: Patience,
    /// The phase that the timer below was set for.
    timed: Phase,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> Impatient<T> {
    pub(crate) fn new(io: T, activity: Activity, patience: Patience) -> Self {
        Self {
            io,
            activity,
            patience,
            timed: Phase::Head,
            reading: Box::pin(sleep(patience.head)),
            writing: None,
        }
    }

    fn on_bytes(&mut self) {
        if self.activity.get() == Phase::Idle {
            self.activity.set(Phase::Head);
            self.time(Phase::Head, self.patience.head);
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let phase = self.activity.get();
        if phase == Phase::Handling {
            self.timed = phase;
            return Poll::Pending;
        }
        if phase != self.timed {
            let patience = match phase {
                Phase::Idle => self.patience.idle,
                Phase::Head | Phase::Handling => self.patience.head,
            };
            self.time(phase, patience);
        }
        ready!(self.reading.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn time(&mut self, phase: Phase, patience: Duration) {
        self.timed = phase;
        self.reading.as_mut().reset(Instant::now() + patience);
    }

    /// Passes a write's outcome on, or fails if nothing could be written for too long.
    fn poll_stall<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let patience = self.patience.write;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Impatient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                if buffer.filled().len() > before {
                    self.on_bytes();
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_silence(cx).map(Err),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Impatient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.poll_stall(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.poll_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.poll_stall(cx, shut)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.poll_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
