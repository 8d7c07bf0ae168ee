//! Where verification may connect to. Whoever writes a `ProviderKey` chooses a host; the controller must never be the one who knocks on doors
//! that its author cannot reach: link-local and metadata addresses, this host, the cluster's own networks, the API server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A range of addresses, `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

/// Why a text is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address and a number of bits, such as 10.0.0.0/8 or fd00::/8")]
pub struct NoCidr;

impl FromStr for Cidr {
    type Err = NoCidr;

    fn from_str(text: &str) -> Result<Self, NoCidr> {
        let (base, bits) = text.split_once('/').ok_or(NoCidr)?;
        let base: IpAddr = base.parse().map_err(|_| NoCidr)?;
        let bits: u8 = bits.parse().map_err(|_| NoCidr)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        if bits > most {
            return Err(NoCidr);
        }
        Ok(Self { base, bits })
    }
}

impl Cidr {
    fn contains(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                base.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What is let through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    /// Loopback and private ranges that may be asked; nothing else can be admitted.
    pub allowed: Vec<Cidr>,
    /// The API server.
    pub api_server: Vec<SocketAddr>,
}

impl Guard {
    /// Whether verification may connect there.
    pub(crate) fn admits(&self, address: SocketAddr) -> bool {
        let ip = plain(address.ip());
        let at = SocketAddr::new(ip, address.port());
        if self
            .api_server
            .iter()
            .any(|server| SocketAddr::new(plain(server.ip()), server.port()) == at)
        {
            return false;
        }
        match kind(ip) {
            Kind::Public => true,
            Kind::Local => self.allowed.iter().any(|range| range.contains(ip)),
            Kind::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The internet.
    Public,
    /// Loopback or private: an operator may admit it.
    Local,
    /// Nobody may admit it.
    Never,
}

/// The IPv4 address that an IPv6 one leads to, so that no spelling of an address passes where the address does not.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        // Compatible, mapped and translated forms; NAT64 under its well-known and its local prefix; 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // Teredo hides the client's address inverted.
        [0x2001, 0, .., high, low] => v4(!high, !low),
        _ => ip,
    }
}

fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    match ip.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Local,
        // This network; CGNAT, where clouds put metadata services; link-local and metadata; protocol assignments and documentation; 6to4
        // relays; benchmarking; multicast, reserved and broadcast.
        [0 | 224..=255, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Kind::Never,
        _ => Kind::Public,
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    /// Where some clouds answer questions about the machine.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let [first, second, ..] = ip.segments();
    if ip == METADATA {
        Kind::Never
    } else if ip.is_loopback() || first & 0xfe00 == 0xfc00 {
        Kind::Local
    } else if first & 0xe000 != 0x2000 || (first == 0x2001 && second == 0xdb8) {
        // Only 2000::/3 is the internet: link-local, site-local, multicast, discard and unspecified are all outside.
        Kind::Never
    } else {
        Kind::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard {
            allowed: allowed.iter().map(|range| range.parse().unwrap()).collect(),
            api_server: vec!["203.0.114.7:6443".parse().unwrap(), "127.0.0.1:6443".parse().unwrap()],
        }
    }

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 443)
    }

    #[test]
    fn public_addresses_are_admitted() {
        for ip in [
            "104.18.7.192",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::6812:7c0",
            "64:ff9b::6812:7c0",
        ] {
            assert!(guard(&[]).admits(at(ip)), "{ip}");
        }
    }

    #[test]
    fn loopback_and_private_addresses_need_to_be_allowed() {
        for (ip, range) in [
            ("127.0.0.1", "127.0.0.0/8"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("172.16.0.1", "172.16.0.0/12"),
            ("192.168.1.1", "192.168.1.1/32"),
            ("::1", "::1/128"),
            ("fd00::1", "fd00::/8"),
            ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ] {
            assert!(!guard(&[]).admits(at(ip)), "{ip}");
            assert!(guard(&[range]).admits(at(ip)), "{ip} with {range}");
            assert!(!guard(&["192.168.7.0/24"]).admits(at(ip)), "{ip} with another range");
        }
    }

    #[test]
    fn what_nobody_may_ask_cannot_be_allowed_in_any_spelling() {
        let all = guard(&["0.0.0.0/0", "::/0"]);
        for ip in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "169.254.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.0.192",
            "198.18.0.1",
            "2001:db8::1",
        ] {
            assert!(!all.admits(at(ip)), "{ip}");
        }
    }

    #[test]
    fn the_api_server_is_never_asked_though_its_host_may_be() {
        let all = guard(&["127.0.0.0/8"]);
        for server in ["203.0.114.7:6443", "127.0.0.1:6443", "[::ffff:127.0.0.1]:6443"] {
            assert!(!all.admits(server.parse().unwrap()), "{server}");
        }
        assert!(all.admits("127.0.0.1:8443".parse().unwrap()));
    }

    #[test]
    fn a_range_is_an_address_and_bits() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "ten/8", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(NoCidr), "{text}");
        }
        let everything: Cidr = "10.0.0.0/0".parse().unwrap();
        assert!(everything.contains("127.0.0.1".parse().unwrap()));
    }
}
