//! Where requests begin and end on a connection, checked byte by byte before hyper sees them.
//!
//! Two readers that disagree about where a request ends are how requests are smuggled past a proxy. Whatever could be
//! read in two ways (two lengths, a length beside chunks, line ends without a carriage return) is therefore refused
//! instead of interpreted. A refused head is replaced by a request of our own that names the [`Refusal`], so that its
//! answer takes the same way as all others and keeps its place behind those of earlier requests.

use http::StatusCode;

use super::Limits;

/// Why a request was refused before it was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1.1 or HTTP/1.0, or not in a way that has one meaning.
    Malformed,
    /// The first line is too long.
    LineTooLong,
    /// The head is too long, or has too many lines.
    HeadTooLarge,
    /// The head took too long.
    TooSlow,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::Malformed, Self::LineTooLong, Self::HeadTooLarge, Self::TooSlow];

    /// The method of the request that stands for a refused one; no peer can send it.
    const METHOD: &'static str = "REFUSED";

    /// Its answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::LineTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Its answer's message.
    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed => "this is no HTTP/1.1 request, or one whose end is ambiguous",
            Self::LineTooLong => "the first line of the request is too long",
            Self::HeadTooLarge => "the headers of the request are too long or too many",
            Self::TooSlow => "the headers of the request took too long to arrive",
        }
    }

    /// The request that stands for a refused one.
    fn stand_in(self) -> String {
        format!("{} /{} HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n", Self::METHOD, self.status().as_u16())
    }

    /// What a request stands for, if it does.
    pub fn of<B>(request: &http::Request<B>) -> Option<Self> {
        if request.method().as_str() != Self::METHOD {
            return None;
        }
        let status = request.uri().path().trim_start_matches('/');
        Self::ALL.into_iter().find(|refusal| refusal.status().as_str() == status)
    }
}

/// Where in the stream of requests the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    /// In a body with so many bytes to come.
    Body(u64),
    Chunk(Chunk),
    /// After a head that was refused: nothing more is read.
    Refused,
    /// After a chunk that makes no sense: its body has no end.
    Broken,
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size {
        value: u64,
        digits: u32,
    },
    Extension {
        value: u64,
        bytes: usize,
    },
    SizeEnd {
        value: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// In a line after the last chunk.
    Trailer {
        line: usize,
        bytes: usize,
    },
    TrailerEnd {
        line: usize,
        bytes: usize,
    },
}

/// Bytes of extensions and trailers of a chunked body that are read and forgotten.
const CHUNK_EXTRAS: usize = 4 << 10;

/// Follows the requests of one connection.
pub(super) struct Framing {
    at: At,
    head: Vec<u8>,
    /// Bytes of the head's current line.
    line: usize,
    lines: usize,
    line_bytes: usize,
    head_bytes: usize,
    headers: usize,
    is_http10: bool,
}

impl Framing {
    pub fn new(limits: &Limits) -> Self {
        Self {
            at: At::Head,
            head: Vec::new(),
            line: 0,
            lines: 0,
            line_bytes: limits.line_bytes,
            head_bytes: limits.head_bytes,
            headers: limits.headers,
            is_http10: false,
        }
    }

    /// Whether a request has ended and the next has not begun.
    pub fn is_between(&self) -> bool {
        self.at == At::Head && self.head.is_empty()
    }

    /// Whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        self.at == At::Head && !self.head.is_empty()
    }

    /// Whether nothing more will be read.
    pub fn is_over(&self) -> bool {
        matches!(self.at, At::Refused | At::Broken)
    }

    /// Whether a body lacks its end.
    pub fn is_in_body(&self) -> bool {
        matches!(self.at, At::Body(_) | At::Chunk(_) | At::Broken)
    }

    /// Whether the latest request was of HTTP/1.0.
    pub fn is_http10(&self) -> bool {
        self.is_http10
    }

    /// Takes bytes that arrived, and adds to `checked` those that may be read.
    pub fn accept(&mut self, mut input: &[u8], checked: &mut Vec<u8>) {
        while !input.is_empty() {
            let taken = match self.at {
                At::Head => self.accept_head(input, checked),
                At::Body(left) => {
                    let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - count as u64;
                    self.at = if left == 0 { At::Head } else { At::Body(left) };
                    checked.extend_from_slice(&input[..count]);
                    count
                }
                At::Chunk(chunk) => self.accept_chunk(chunk, input, checked),
                At::Refused | At::Broken => return,
            };
            input = &input[taken..];
        }
    }

    /// Refuses the request that is arriving.
    pub fn refuse(&mut self, refusal: Refusal, checked: &mut Vec<u8>) {
        checked.extend_from_slice(refusal.stand_in().as_bytes());
        self.head = Vec::new();
        self.at = At::Refused;
    }

    fn accept_head(&mut self, input: &[u8], checked: &mut Vec<u8>) -> usize {
        for (at, &byte) in input.iter().enumerate() {
            match self.head_byte(byte) {
                Ok(false) => {}
                Ok(true) => {
                    self.end_head(checked);
                    return at + 1;
                }
                Err(refusal) => {
                    self.refuse(refusal, checked);
                    return input.len();
                }
            }
        }
        input.len()
    }

    /// Adds a byte to the head; `true` if it is the last one.
    fn head_byte(&mut self, byte: u8) -> Result<bool, Refusal> {
        let after_cr = self.head.last() == Some(&b'\r');
        if after_cr != (byte == b'\n') || (byte == 0) {
            return Err(Refusal::Malformed);
        }
        // An empty line between requests, which some clients send after a body.
        if self.lines == 0 && self.line == 0 && byte == b'\n' {
            self.head.clear();
            return Ok(false);
        }
        self.head.push(byte);
        if byte == b'\n' {
            if self.line == 0 {
                return Ok(true);
            }
            if self.lines == 0 {
                self.is_http10 = version(&self.head)? == Version::Http10;
            }
            (self.line, self.lines) = (0, self.lines + 1);
        } else if byte != b'\r' {
            self.line += 1;
        }
        self.check_sizes()
    }

    fn check_sizes(&self) -> Result<bool, Refusal> {
        if self.lines == 0 {
            // Whether it may be HTTP shows in the first bytes: what is not is answered at once.
            if self.head != b"\r" && !begins_with_method(&self.head) {
                return Err(Refusal::Malformed);
            }
            if self.line > self.line_bytes {
                return Err(Refusal::LineTooLong);
            }
        }
        let headers = (self.lines + usize::from(self.line > 0)).saturating_sub(1);
        if self.head.len() > self.head_bytes || headers > self.headers {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(false)
    }

    fn end_head(&mut self, checked: &mut Vec<u8>) {
        match body_of(&self.head, self.is_http10) {
            Ok(at) => {
                checked.append(&mut self.head);
                self.at = at;
                (self.line, self.lines) = (0, 0);
            }
            Err(refusal) => self.refuse(refusal, checked),
        }
    }

    fn accept_chunk(&mut self, chunk: Chunk, input: &[u8], checked: &mut Vec<u8>) -> usize {
        if let Chunk::Data(left) = chunk {
            let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - count as u64;
            self.at = At::Chunk(if left == 0 { Chunk::DataCr } else { Chunk::Data(left) });
            checked.extend_from_slice(&input[..count]);
            return count;
        }
        match next_chunk(chunk, input[0]) {
            Some(at) => {
                self.at = at;
                checked.push(input[0]);
                1
            }
            // The body ends early, which whoever reads it will see.
            None => {
                self.at = At::Broken;
                input.len()
            }
        }
    }
}

/// Where the byte after `byte` belongs; `None` if `byte` is wrong here.
fn next_chunk(chunk: Chunk, byte: u8) -> Option<At> {
    let next = match (chunk, byte) {
        (Chunk::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
            let digit = (byte as char).to_digit(16)?;
            Chunk::Size { value: value * 16 + u64::from(digit), digits: digits + 1 }
        }
        (Chunk::Size { value, digits: 1.. }, b'\r') => Chunk::SizeEnd { value },
        (Chunk::Size { value, digits: 1.. }, b';') => Chunk::Extension { value, bytes: 0 },
        (Chunk::Extension { value, .. }, b'\r') => Chunk::SizeEnd { value },
        (Chunk::Extension { value, bytes }, _) if byte != b'\n' && bytes < CHUNK_EXTRAS => {
            Chunk::Extension { value, bytes: bytes + 1 }
        }
        (Chunk::SizeEnd { value: 0 }, b'\n') => Chunk::Trailer { line: 0, bytes: 0 },
        (Chunk::SizeEnd { value }, b'\n') => Chunk::Data(value),
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { value: 0, digits: 0 },
        (Chunk::Trailer { line, bytes }, b'\r') => Chunk::TrailerEnd { line, bytes },
        (Chunk::Trailer { line, bytes }, _) if byte != b'\n' && bytes < CHUNK_EXTRAS => {
            Chunk::Trailer { line: line + 1, bytes: bytes + 1 }
        }
        (Chunk::TrailerEnd { line: 0, .. }, b'\n') => return Some(At::Head),
        (Chunk::TrailerEnd { bytes, .. }, b'\n') => Chunk::Trailer { line: 0, bytes },
        _ => return None,
    };
    Some(At::Chunk(next))
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// The version at the end of a request's first line.
fn version(line: &[u8]) -> Result<Version, Refusal> {
    match line.strip_suffix(b"\r\n") {
        Some(line) if line.ends_with(b" HTTP/1.1") => Ok(Version::Http11),
        Some(line) if line.ends_with(b" HTTP/1.0") => Ok(Version::Http10),
        _ => Err(Refusal::Malformed),
    }
}

/// Methods that peers may use; routes decide which of them mean something.
const METHODS: [&[u8]; 7] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH "];

fn begins_with_method(head: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        let count = method.len().min(head.len());
        method[..count] == head[..count]
    })
}

/// What follows a head: where the next request begins.
fn body_of(head: &[u8], is_http10: bool) -> Result<At, Refusal> {
    let (mut length, mut is_chunked, mut hosts) = (None, false, 0);
    for line in head.split(|&byte| byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let (name, value) = header(line).ok_or(Refusal::Malformed)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = number(value).filter(|_| length.is_none()).ok_or(Refusal::Malformed)?;
            length = Some(number);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || is_http10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Malformed);
            }
            is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        }
    }
    let has_host = hosts == 1 || (hosts == 0 && is_http10);
    match (length, is_chunked) {
        (Some(_), true) => Err(Refusal::Malformed),
        _ if !has_host => Err(Refusal::Malformed),
        (None, true) => Ok(At::Chunk(Chunk::Size { value: 0, digits: 0 })),
        (None | Some(0), false) => Ok(At::Head),
        (Some(length), false) => Ok(At::Body(length)),
    }
}

/// Name and value of a header line. A line that begins with a space, which once continued the one before, has no name.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    (!name.is_empty() && name.iter().all(is_token) && value.iter().all(is_value)).then(|| (name, value.trim_ascii()))
}

fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is let through of `input`, however it is cut into pieces.
    fn through(input: &[u8]) -> String {
        let whole = |piece: usize| {
            let (mut framing, mut checked) = (Framing::new(&Limits::default()), Vec::new());
            input.chunks(piece).for_each(|bytes| framing.accept(bytes, &mut checked));
            String::from_utf8_lossy(&checked).into_owned()
        };
        let result = whole(input.len().max(1));
        for piece in [1, 2, 3, 7, 64] {
            assert_eq!(whole(piece), result, "in pieces of {piece}");
        }
        result
    }

    fn refused(input: &[u8], refusal: Refusal) {
        assert_eq!(through(input), refusal.stand_in(), "{:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn requests_pass_unchanged_one_after_another() {
        for input in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nt: 1\r\n\r\n\
             GET / HTTP/1.1\r\nhost: b\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET /half HTTP/1.1\r\nhost: a\r\n",
        ] {
            let complete = input.rfind("\r\n\r\n").map_or(0, |at| at + 4);
            assert_eq!(through(input.as_bytes()), input[..complete]);
        }
        assert_eq!(through(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0\r\n\r\n");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for headers in [
            "content-length: 3\r\ncontent-length: 3\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding : chunked\r\n",
            "content-length: 3, 3\r\n",
            "content-length: +3\r\n",
            "content-length: -1\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length:\r\n",
            "x: 1\r\n folded: 2\r\n",
            "x: 1\ncontent-length: 3\r\n",
            "x: \x01\r\n",
            "x: 1\rcontent-length: 3\r\n",
            "x\r\n",
            ": 1\r\n",
            "host: b\r\n",
        ] {
            let request = format!("POST /x HTTP/1.1\r\nhost: a\r\n{headers}\r\nabc");
            refused(request.as_bytes(), Refusal::Malformed);
        }
        refused(b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refusal::Malformed);
        refused(b"GET / HTTP/1.1\r\n\r\n", Refusal::Malformed);
    }

    #[test]
    fn what_is_not_http_is_refused_at_once() {
        for input in [
            &b"GET /\r\n"[..],
            b"GET / HTTP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"\x00",
            b"hello",
            b"get / HTTP/1.1\r\n",
            b"REFUSED /414 HTTP/1.1\r\n",
            b"GET / HTTP/1.1\n",
        ] {
            refused(input, Refusal::Malformed);
        }
    }

    #[test]
    fn long_lines_long_heads_and_many_headers_are_refused_before_they_end() {
        let limits = Limits::default();
        refused(format!("GET /{}", "a".repeat(limits.line_bytes)).as_bytes(), Refusal::LineTooLong);
        let start = "GET / HTTP/1.1\r\nhost: a\r\n";
        refused(format!("{start}x: {}", "a".repeat(limits.head_bytes)).as_bytes(), Refusal::HeadTooLarge);
        let headers = |count| format!("{start}{}\r\n", "x: y\r\n".repeat(count - 1));
        assert_eq!(through(headers(limits.headers).as_bytes()), headers(limits.headers));
        refused(headers(limits.headers + 1).as_bytes(), Refusal::HeadTooLarge);
    }

    #[test]
    fn nothing_passes_after_a_bad_chunk() {
        let start = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        for bad in ["x\r\n", "\r\n", "1\nab", "3\r\nabcd\r\n", "-1\r\n", " 3\r\n", "1000000000000000\r\n"] {
            let passed = through(format!("{start}{bad}0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
            assert!(passed.starts_with(start) && !passed.contains("hidden"), "{bad:?}: {passed:?}");
        }
    }

    #[test]
    fn a_stand_in_names_its_refusal() {
        for refusal in Refusal::ALL {
            let path = format!("/{}", refusal.status().as_u16());
            let request = http::Request::builder().method(Refusal::METHOD).uri(path).body(()).expect("a request");
            assert_eq!(Refusal::of(&request), Some(refusal));
        }
    }
}
