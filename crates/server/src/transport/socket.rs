//! A TCP stream as hyper reads and writes it: requests are checked, and a peer that is too slow is left.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;
use super::exchange::Exchange;
use super::framing::{Framing, Refusal};

/// Sent to a peer that has closed its sending side while it waits for an answer. One that still listens skips it; where
/// nobody does, the system answers with a reset, which tells the two apart.
const ARE_YOU_THERE: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// Bytes read at once.
const PIECE: usize = 16 << 10;

pub(super) struct CheckedSocket {
    socket: Arc<TcpStream>,
    exchange: Arc<Exchange>,
    framing: Framing,
    /// Bytes that hyper may read, from `taken` on.
    checked: Vec<u8>,
    taken: usize,
    /// The peer has closed its sending side.
    has_ended: bool,
    head_time: Duration,
    idle_time: Duration,
    write_time: Duration,
    /// When the head that is arriving began, or the connection.
    began: Option<Instant>,
    read_timer: Pin<Box<Sleep>>,
    /// Runs while the peer takes nothing.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl CheckedSocket {
    pub fn new(socket: Arc<TcpStream>, exchange: Arc<Exchange>, limits: &Limits, head_time: Duration) -> Self {
        Self {
            socket,
            exchange,
            framing: Framing::new(limits),
            checked: Vec::new(),
            taken: 0,
            has_ended: false,
            head_time,
            idle_time: limits.idle_time,
            write_time: limits.write_time,
            began: Some(Instant::now()),
            read_timer: Box::pin(sleep_until(Instant::now())),
            write_timer: None,
        }
    }

    fn take(&mut self, into: &mut ReadBuf<'_>) {
        let count = into.remaining().min(self.checked.len() - self.taken);
        into.put_slice(&self.checked[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.checked.len() {
            self.checked.clear();
            self.taken = 0;
        }
    }

    /// Reads what has arrived.
    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; PIECE];
        match self.socket.try_read(&mut piece)? {
            0 => self.note_end(),
            count => {
                self.framing.accept(&piece[..count], &mut self.checked);
                if self.framing.is_in_head() {
                    self.began.get_or_insert_with(Instant::now);
                } else {
                    self.began = None;
                }
            }
        }
        Ok(())
    }

    fn note_end(&mut self) {
        self.has_ended = true;
        if self.exchange.is_unanswered() && !self.framing.is_http10() && self.write_timer.is_none() {
            // Should it not fit into the socket's buffer, the peer has bytes to take and will show by these.
            let _ = self.socket.try_write(ARE_YOU_THERE);
        }
    }

    /// When the peer must have sent the rest of a head, or the beginning of the next one.
    fn deadline(&self, cx: &Context<'_>) -> Option<Instant> {
        if self.framing.is_in_head() || self.began.is_some() {
            return self.began.map(|began| began + self.head_time);
        }
        let is_waiting = !self.exchange.poll_open(cx) && self.framing.is_between();
        is_waiting.then(|| self.exchange.ended() + self.idle_time)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline(cx) else { return Poll::Pending };
        if self.read_timer.deadline() != deadline {
            self.read_timer.as_mut().reset(deadline);
        }
        self.read_timer.as_mut().poll(cx)
    }

    /// Ends a wait for bytes that did not come in time.
    fn give_up(&mut self) {
        if self.framing.is_in_head() {
            self.framing.refuse(Refusal::TooSlow, &mut self.checked);
        } else {
            self.has_ended = true;
        }
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.write_timer = None;
                    self.exchange.note_answer();
                    return Poll::Ready(result);
                }
            }
            if self.socket.poll_write_ready(cx)?.is_ready() {
                continue;
            }
            let limit = self.write_time;
            let timer = self.write_timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
    }
}

impl AsyncRead for CheckedSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.taken < this.checked.len() {
                this.take(into);
                return Poll::Ready(Ok(()));
            }
            if this.has_ended || this.framing.is_over() {
                // A peer that has said all it will say may still listen, and an end would be taken for its leaving.
                let is_listening = this.exchange.poll_open(cx) && !this.framing.is_in_body();
                return if is_listening { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            match this.fill() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => continue,
            }
            if this.socket.poll_read_ready(cx)?.is_ready() {
                continue;
            }
            ready!(this.poll_deadline(cx));
            this.give_up();
        }
    }
}

impl AsyncWrite for CheckedSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |socket| socket.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}
