//! As much of HTTP/1.1 as a load needs: one request a connection, and its answer byte by byte as it arrives.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Most bytes of a line, and of an answer that is read as a whole.
const MOST_BYTES: u64 = 16 << 20;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    authority: String,
    prefix: String,
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not begin with http://"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(!authority.is_empty() && !url.contains(char::is_whitespace), "`{url}` names no host");
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_string() } else { format!("{authority}:80") };
        // People copy the address that clients are given.
        let prefix = path.trim_end_matches('/').trim_end_matches("/v1").to_string();
        Ok(Self { authority, prefix })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// What is asked.
pub struct Request<'a> {
    pub address: &'a Address,
    pub path: &'a str,
    pub api_key: Option<&'a str>,
    /// A JSON body, which makes it a POST.
    pub body: Option<&'a str>,
    /// How long the server may send nothing.
    pub timeout: Duration,
}

/// An answer whose head has arrived.
pub struct Answer {
    pub status: u16,
    pub body: BufReader<Body>,
}

impl Request<'_> {
    /// Sends it and waits for the head of the answer.
    pub fn send(&self) -> Result<Answer> {
        let stream = TcpStream::connect(&self.address.authority).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        (&stream).write_all(self.text().as_bytes()).context("cannot send")?;
        let mut reader = BufReader::new(stream);
        let status = line(&mut reader)?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.with_context(|| format!("`{status}` is no answer of an HTTP server"))?;
        let mut length = Length::UntilEnd;
        loop {
            let header = line(&mut reader)?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            match header.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("transfer-encoding", "chunked")) => length = Length::Chunked { left: 0, is_first: true },
                Some(("content-length", value)) => length = Length::Known { left: value.parse()? },
                _ => {}
            }
        }
        Ok(Answer { status, body: BufReader::new(Body { reader, length }) })
    }

    fn text(&self) -> String {
        let Address { authority, prefix } = self.address;
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let mut text = format!("{method} {prefix}{} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n", self.path);
        if let Some(key) = self.api_key {
            text += &format!("Authorization: Bearer {key}\r\n");
        }
        if let Some(body) = self.body {
            text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        text + "\r\n" + self.body.unwrap_or_default()
    }
}

impl Answer {
    /// The whole body as text.
    pub fn text(self) -> Result<String> {
        let mut text = String::new();
        self.body.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// The next line without its end.
pub fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    let read = reader.by_ref().take(MOST_BYTES).read_line(&mut line).context("the answer stopped")?;
    ensure!(read > 0, "the server closed the connection");
    ensure!(line.ends_with('\n'), "the server closed the connection in the middle of a line");
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// The bytes of an answer, without the marks between its chunks.
pub struct Body {
    reader: BufReader<TcpStream>,
    length: Length,
}

enum Length {
    UntilEnd,
    Known { left: u64 },
    Chunked { left: u64, is_first: bool },
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Length::Chunked { left: left @ 0, is_first } = &mut self.length {
            *left = next_chunk(&mut self.reader, *is_first).map_err(io::Error::other)?;
            *is_first = false;
            if *left == 0 {
                self.length = Length::Known { left: 0 };
            }
        }
        match &mut self.length {
            Length::UntilEnd => self.reader.read(buffer),
            Length::Known { left } | Length::Chunked { left, .. } => {
                let most = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let read = self.reader.read(&mut buffer[..most])?;
                if read == 0 && *left > 0 && !buffer.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Bytes of the next chunk; 0 for the last.
fn next_chunk(reader: &mut impl BufRead, is_first: bool) -> Result<u64> {
    if !is_first && !line(reader)?.is_empty() {
        bail!("a chunk is longer than it says");
    }
    let size = line(reader)?;
    let digits = size.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).with_context(|| format!("`{size}` is no size of a chunk"))
}
