//! One connection, from its first byte to its last.

use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;

use super::exchange::Exchange;
use super::socket::CheckedSocket;
use super::{Limits, Peer};

/// After the last answer, what the peer still sends is read for so long, since closing a socket with unread bytes makes
/// the system take back what was sent.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection until its peer leaves, breaks a limit, or `is_draining` and its exchange has ended.
pub(super) async fn serve(
    socket: TcpStream,
    peer: Peer,
    app: Router,
    limits: Arc<Limits>,
    mut is_draining: watch::Receiver<bool>,
) {
    let socket = Arc::new(socket);
    let exchange = Arc::new(Exchange::new());
    let head_time = if peer.is_reserved { limits.reserved_head_time } else { limits.head_time };
    let checked = CheckedSocket::new(socket.clone(), exchange.clone(), &limits, head_time);
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, exchange) = (app.clone(), exchange.clone());
        exchange.begin();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            let response = app.oneshot(request).await;
            response.map(|response| response.map(|body| Answer { body, exchange }))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // Times and sizes of heads are checked before hyper sees them; its own limits are only a second line.
    http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.head_bytes.max(8 << 10) * 2);
    let mut may_drain = !*is_draining.borrow();
    http.keep_alive(may_drain && !peer.is_reserved);
    let connection = http.serve_connection(TokioIo::new(checked), service);
    tokio::pin!(connection);
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result.is_ok(),
            () = reset(&socket) => break false,
            changed = is_draining.wait_for(|draining| *draining), if may_drain => {
                may_drain = false;
                if changed.is_ok() {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    };
    if result {
        linger(&socket).await;
    }
}

/// Ends when the peer has reset the connection: nobody listens any more.
async fn reset(socket: &TcpStream) {
    // An error of the wait itself is seen by the next read or write.
    if socket.ready(Interest::ERROR).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sends an answer to whatever the peer has to say, and closes.
pub(super) async fn say_and_close(socket: &TcpStream, answer: &[u8]) {
    let said = async {
        socket.writable().await?;
        socket.try_write(answer)?;
        SockRef::from(socket).shutdown(Shutdown::Write)
    };
    if matches!(tokio::time::timeout(LINGER, said).await, Ok(Ok(()))) {
        linger(socket).await;
    }
}

async fn linger(socket: &TcpStream) {
    let rest = async {
        let mut piece = [0; 4096];
        while socket.readable().await.is_ok() {
            match socket.try_read(&mut piece) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    };
    // Whether the peer has closed or the time is over, the socket is closed now.
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// The body of an answer, whose end is the end of the exchange.
struct Answer {
    body: Body,
    exchange: Arc<Exchange>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.exchange.end();
    }
}
