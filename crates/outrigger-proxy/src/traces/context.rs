//! Whose trace a request belongs to: W3C Trace Context, taken in as its level 1 says. What is not exactly that is as if it were not there,
//! so that a broken header costs a link in a trace and never a call.

use http::HeaderMap;
use std::fmt;

/// Longest `tracestate` that is kept, bytes: what the standard asks everybody to keep.
const LONGEST_STATE: usize = 512;
/// Most members of a `tracestate`.
const MOST_MEMBERS: usize = 32;

/// The id of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(pub(crate) u128);

/// The id of a span; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId(pub(crate) u64);

impl TraceId {
    /// A new one.
    pub(crate) fn mint() -> Self {
        Self(fastrand::u128(1..))
    }
}

impl SpanId {
    /// A new one.
    pub(crate) fn mint() -> Self {
        Self(fastrand::u64(1..))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client says of the trace that its call is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    /// Whether the client records its own part.
    pub(crate) sampled: bool,
}

/// The parent that the headers name.
pub(crate) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    traceparent(value.as_bytes())
}

/// Reads `version-trace-span-flags`, lower case throughout.
fn traceparent(text: &[u8]) -> Option<Parent> {
    let mut parts = text.splitn(5, |byte| *byte == b'-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version = hex(version, 2)?;
    // A later version may go on after a dash; this one may not.
    if version == 0xff || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
    Some(Parent {
        trace: TraceId(trace).some()?,
        span: SpanId(u64::try_from(span).ok().filter(|span| *span != 0)?),
        sampled: flags & 1 == 1,
    })
}

impl TraceId {
    fn some(self) -> Option<Self> {
        (self.0 != 0).then_some(self)
    }
}

/// Exactly `digits` hexadecimal digits, none of them a capital; at most 32.
fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.iter().try_fold(0, |number: u128, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// The `tracestate` that came with a parent, over all its headers; absent where it is none, or longer than we keep.
pub(crate) fn state(headers: &HeaderMap) -> Option<String> {
    let mut members: Vec<&str> = Vec::new();
    for value in headers.get_all("tracestate") {
        let list = value.to_str().ok()?;
        members.extend(
            list.split(',')
                .map(|member| member.trim_matches([' ', '\t']))
                .filter(|member| !member.is_empty()),
        );
    }
    let mut keys = members
        .iter()
        .map(|member| member.split_once('=').filter(|(key, value)| is_key(key) && is_value(value)));
    let mut seen: Vec<&str> = Vec::new();
    let fits = members.len() <= MOST_MEMBERS
        && keys.all(|pair| match pair {
            Some((key, _)) if !seen.contains(&key) => {
                seen.push(key);
                true
            }
            _ => false,
        });
    let state = fits.then(|| members.join(","))?;
    Some(state).filter(|state| !state.is_empty() && state.len() <= LONGEST_STATE)
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let plain = |part: &str, longest: usize, digit_first: bool| {
        let first = part.bytes().next();
        part.len() <= longest
            && first.is_some_and(|byte| byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit()))
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/'))
    };
    match key.split_once('@') {
        Some((tenant, vendor)) => plain(tenant, 241, true) && plain(vendor, 14, false),
        None => plain(key, 256, false),
    }
}

fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let of = |sampled| {
            Some(Parent {
                trace: TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
                span: SpanId(0xb7ad_6b71_6920_3331),
                sampled,
            })
        };
        for (text, parent) in [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), of(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), of(false)),
            // Flags that are not ours to know: only the lowest says whether it is recorded.
            (format!("00-{TRACE}-b7ad6b7169203331-03"), of(true)),
            (format!("00-{TRACE}-b7ad6b7169203331-fe"), of(false)),
            // Versions to come: what we know of them stands in front.
            (format!("01-{TRACE}-b7ad6b7169203331-01"), of(true)),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"), of(true)),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-"), of(true)),
            (format!("cc-{TRACE}-b7ad6b7169203331-01.what-the-future"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-01-"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-01-00"), None),
            (format!("ff-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("0-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("0x-{TRACE}-b7ad6b7169203331-01"), None),
            (format!(".0-{TRACE}-b7ad6b7169203331-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-B7AD6B7169203331-01"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-0A"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-1"), None),
            (format!("00-{TRACE}-b7ad6b7169203331"), None),
            (format!("00-{TRACE}-b7ad6b716920333-01"), None),
            (format!("00-{TRACE}-b7ad6b71692033311-01"), None),
            (format!("00-{TRACE}0-b7ad6b7169203331-01"), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), None),
            (format!("00_{TRACE}_b7ad6b7169203331_01"), None),
            (format!("00-{TRACE}-b7ad6b7169203331-01,"), None),
            (format!("00-+{}-b7ad6b7169203331-01", "1".repeat(31)), None),
            (String::from("00-möbel-b7ad6b7169203331-01"), None),
            (String::new(), None),
        ] {
            assert_eq!(super::parent(&headers("traceparent", &[&text])), parent, "{text}");
        }
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(super::parent(&headers("traceparent", &[&good, &good])), None, "twice");
        assert_eq!(super::parent(&HeaderMap::new()), None);
    }

    #[test]
    fn a_tracestate_is_kept_whole_or_not_at_all() {
        let many = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (values, kept) in [
            (&["foo=1"][..], Some("foo=1")),
            (&["foo=1 , \tbar=2,"], Some("foo=1,bar=2")),
            (&["foo=1", "bar=2"], Some("foo=1,bar=2")),
            (&["tenant@system=a b", "0a@v=:"], Some("tenant@system=a b,0a@v=:")),
            (&["a_-*/9=x"], Some("a_-*/9=x")),
            (&["foo=1,foo=2"], None),
            (&["foo=1", "foo=2"], None),
            (&["foo"], None),
            (&["foo="], None),
            (&["=1"], None),
            (&["Foo=1"], None),
            (&["1a=1"], None),
            (&["foo@=1"], None),
            (&["@v=1"], None),
            (&["a@0v=1"], None),
            (&["a@b@c=1"], None),
            (&["foo =1"], None),
            (&["foo=b=c"], None),
            (&["foo=\u{fc}"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(state(&headers("tracestate", values)).as_deref(), kept, "{values:?}");
        }
        assert_eq!(state(&headers("tracestate", &[&many(32)])), Some(many(32)));
        assert_eq!(state(&headers("tracestate", &[&many(33)])), None, "a member too many");
        let long = |value: usize| format!("a={},b={}", "x".repeat(250), "y".repeat(value));
        assert_eq!(state(&headers("tracestate", &[&long(512 - 255)])), None, "a value too long");
        let fits = format!("{},c=1", long(512 - 255 - 4));
        assert_eq!(fits.len(), 512);
        assert_eq!(state(&headers("tracestate", &[&fits])), Some(fits.clone()));
        assert_eq!(state(&headers("tracestate", &[&format!("{fits}2")])), None, "a byte too many");
    }

    #[test]
    fn ids_are_shown_with_all_their_digits() {
        assert_eq!(TraceId(0xab).to_string(), format!("{:0>32}", "ab"));
        assert_ne!(TraceId::mint(), TraceId::mint());
    }
}
