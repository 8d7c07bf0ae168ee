//! Base URLs: `https://host[:port][/prefix]`, split into where a key may go and what stands in front of every path.
//!
//! It must never accept a URL whose host another parser would read differently: a key is bound to that host.

use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};
use outrigger_core::{Origin, Scheme};

/// A parsed base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Scheme, host and port; the port is the scheme's own where none is written.
    pub origin: Origin,
    /// Prefix of every path, without a trailing slash: `/v1`, or nothing.
    pub path: String,
}

/// Why a text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBaseUrl {
    /// It does not start with `http://` or `https://`.
    #[error("it starts with neither https:// nor http://")]
    Scheme,
    /// User info, a query or a fragment.
    #[error("it carries user info, a query or a fragment")]
    Extras,
    /// The host is empty or has other characters than letters, digits, `.`, `-` and `_`.
    #[error("its host is not a host name, an IPv4 address or an [IPv6] address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// The path has an empty, `.` or `..` segment or a character that does not belong into one.
    #[error("its path has an empty, \".\" or \"..\" segment, or a character that a path cannot have")]
    Path,
}

impl BaseUrl {
    /// Parses `text`.
    pub fn parse(text: &str) -> Result<Self, BadBaseUrl> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else {
            return Err(BadBaseUrl::Scheme);
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or(BadBaseUrl::Path)?,
            None => (rest, ""),
        };
        if authority.contains(['@', '?', '#']) || path.contains(['?', '#']) {
            return Err(BadBaseUrl::Extras);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port(scheme),
            Some(digits) => parse_port(digits)?,
        };
        let origin = Origin {
            scheme,
            host: parse_host(host)?,
            port,
        };
        Ok(Self {
            origin,
            path: parse_path(path)?,
        })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Shown(&self.origin), self.path)
    }
}

/// An origin as people write it, the scheme's own port left out.
pub(crate) struct Shown<'a>(pub(crate) &'a Origin);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{name}://{}", self.0.authority())
    }
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), BadBaseUrl> {
    if !authority.starts_with('[') {
        return Ok(match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        });
    }
    // The colons of an IPv6 address are inside brackets.
    let (inside, rest) = authority.split_once(']').ok_or(BadBaseUrl::Host)?;
    let host = authority.get(..=inside.len()).ok_or(BadBaseUrl::Host)?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(BadBaseUrl::Host),
    }
}

/// Decimal without a leading zero or sign, so that no two spellings name one port.
fn parse_port(digits: &str) -> Result<u16, BadBaseUrl> {
    if digits.starts_with(['0', '+']) {
        return Err(BadBaseUrl::Port);
    }
    digits.parse().map_err(|_| BadBaseUrl::Port)
}

fn parse_host(host: &str) -> Result<String, BadBaseUrl> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|address| address.to_string()).ok_or(BadBaseUrl::Host);
    }
    let edge = |c: char| c.is_ascii_alphanumeric();
    let well_formed = host.len() <= 253
        && host.starts_with(edge)
        && host.ends_with(edge)
        && !host.contains("..")
        && host.chars().all(|c| edge(c) || matches!(c, '.' | '-' | '_'));
    // `127.1` and `0x7f.1` are addresses to some parsers and names to others: a last label that looks like a number must end a full address.
    let last = host.rsplit('.').next().unwrap_or(host);
    let numeric = last.starts_with(|c: char| c.is_ascii_digit()) && last.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, 'x' | 'X'));
    let well_formed = well_formed && (!numeric || host.parse::<Ipv4Addr>().is_ok());
    well_formed.then(|| host.to_ascii_lowercase()).ok_or(BadBaseUrl::Host)
}

fn parse_path(path: &str) -> Result<String, BadBaseUrl> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~!$&()*+,;=:@%-".contains(c);
    let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(allowed);
    let well_formed = path.is_empty() || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    well_formed.then(|| path.to_owned()).ok_or(BadBaseUrl::Path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Result<(Scheme, String, u16, String), BadBaseUrl> {
        BaseUrl::parse(text).map(|url| (url.origin.scheme, url.origin.host, url.origin.port, url.path))
    }

    #[test]
    fn base_urls_fall_into_origin_and_prefix() {
        for (text, scheme, host, port, path) in [
            ("https://api.openai.com/v1", Scheme::Https, "api.openai.com", 443, "/v1"),
            ("https://API.OpenAI.com/v1/", Scheme::Https, "api.openai.com", 443, "/v1"),
            ("http://127.0.0.1:8080", Scheme::Http, "127.0.0.1", 8080, ""),
            ("http://vllm.models.svc/", Scheme::Http, "vllm.models.svc", 80, ""),
            (
                "https://[2001:DB8:0::1]:8443/openai/v1",
                Scheme::Https,
                "2001:db8::1",
                8443,
                "/openai/v1",
            ),
            ("http://[::1]", Scheme::Http, "::1", 80, ""),
            ("https://h/a%20b/@c", Scheme::Https, "h", 443, "/a%20b/@c"),
        ] {
            assert_eq!(parts(text), Ok((scheme, host.to_owned(), port, path.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_says_why() {
        for (text, why) in [
            ("", BadBaseUrl::Scheme),
            ("api.openai.com", BadBaseUrl::Scheme),
            ("ftp://h", BadBaseUrl::Scheme),
            ("HTTPS://h", BadBaseUrl::Scheme),
            ("https://user:pass@h/v1", BadBaseUrl::Extras),
            ("https://h/v1?x=1", BadBaseUrl::Extras),
            ("https://h#f", BadBaseUrl::Extras),
            ("https://", BadBaseUrl::Host),
            ("https:///v1", BadBaseUrl::Host),
            ("https://a b", BadBaseUrl::Host),
            ("https://h\\evil", BadBaseUrl::Host),
            ("https://a..b", BadBaseUrl::Host),
            ("https://münchen.de", BadBaseUrl::Host),
            ("https://[::1", BadBaseUrl::Host),
            ("https://[::1]x", BadBaseUrl::Host),
            ("https://[1.2.3.4]", BadBaseUrl::Host),
            ("https://127.1", BadBaseUrl::Host),
            ("https://0x7f.0.0.0x1", BadBaseUrl::Host),
            ("https://2130706433", BadBaseUrl::Host),
            ("https://h:", BadBaseUrl::Port),
            ("https://h:0", BadBaseUrl::Port),
            ("https://h:65536", BadBaseUrl::Port),
            ("https://h:080", BadBaseUrl::Port),
            ("https://h:1:2", BadBaseUrl::Port),
            ("https://h//v1", BadBaseUrl::Path),
            ("https://h/../v1", BadBaseUrl::Path),
            ("https://h/a b", BadBaseUrl::Path),
            ("https://h/v1//", BadBaseUrl::Path),
        ] {
            assert_eq!(parts(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "(https?://)?[\\[\\]a-z0-9:@/?#.%é-]{0,40}") {
            if let Ok(url) = BaseUrl::parse(&text) {
                // What is shown reads back as the same place.
                prop_assert_eq!(BaseUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
