//! The header `traceparent` (W3C Trace Context, level 1).

use http::HeaderMap;
use uuid::Uuid;

/// The trace that a request belongs to, and our part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    /// The caller's part, if it named one.
    parent: Option<u64>,
    span: u64,
    is_sampled: bool,
}

impl TraceContext {
    /// The trace that the headers name, or a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all("traceparent").iter();
        let only = given.next().filter(|_| given.next().is_none());
        only.and_then(|value| parse(value.to_str().ok()?)).unwrap_or_else(|| {
            let (trace, span) = (Uuid::new_v4().as_u128(), new_span());
            Self { trace, parent: None, span, is_sampled: false }
        })
    }

    /// The header that names this trace and our part of it.
    pub fn header(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }

    /// The trace's id in hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The ids of the trace and of our part of it.
    pub fn ids(&self) -> (u128, u64) {
        (self.trace, self.span)
    }

    /// The ids of the trace and of the caller's part, and whether the caller records it.
    pub fn parent(&self) -> Option<(u128, u64, bool)> {
        self.parent.map(|parent| (self.trace, parent, self.is_sampled))
    }
}

fn new_span() -> u64 {
    // Version and variant take bits of both halves; together they differ in each id.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    (high ^ low.rotate_left(32)).max(1)
}

fn parse(value: &str) -> Option<TraceContext> {
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = hex::<2>(version).filter(|version| *version != 0xff)?;
    // Later versions may say more; this one may not.
    if version == 0 && parts.next().is_some() {
        return None;
    }
    let trace = hex::<32>(trace).filter(|id| *id != 0)?;
    let parent = hex::<16>(parent).filter(|id| *id != 0)? as u64;
    let flags = hex::<2>(flags)?;
    Some(TraceContext { trace, parent: Some(parent), span: new_span(), is_sampled: flags & 1 == 1 })
}

/// A number of exactly `N` lower-case hexadecimal digits.
fn hex<const N: usize>(digits: &str) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == N && digits.bytes().all(is_digit)).then(|| u128::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &'static str) -> TraceContext {
        TraceContext::of(&HeaderMap::from_iter([(
            http::HeaderName::from_static("traceparent"),
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn a_trace_goes_on_with_a_part_of_our_own() {
        let context = of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent(), Some((context.trace, 0x00f0_67aa_0ba9_02b7, true)));
        let header = context.header();
        assert!(header.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && header.ends_with("-01"));
        assert!(!header.contains("00f067aa0ba902b7"));
        assert_eq!(of("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more").trace, context.trace);
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(bad).parent(), None, "{bad}");
        }
        assert_ne!(of("").trace, of("").trace);
    }
}
