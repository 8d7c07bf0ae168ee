//! Decimal strings: money, ratios, percentages. All are kept as whole millionths of their unit.

use outrigger_core::{PicoUsd, Price};

/// Parses an unsigned decimal such as `2.5` into millionths. At most `whole` digits before the point and six behind it; both sides of a
/// point must have digits.
fn millionths(text: &str, whole: usize) -> Option<u64> {
    let (int, frac) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, max: usize| !part.is_empty() && part.len() <= max && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(int, whole) || !digits(frac, 6) {
        return None;
    }
    let scale = 10u64.pow(6u32.saturating_sub(u32::try_from(frac.len()).ok()?));
    Some(int.parse::<u64>().ok()? * 1_000_000 + frac.parse::<u64>().ok()? * scale)
}

/// Parses US dollars per million tokens, such as `2.5` or `0.075`, into the price of one token. Exact: a dollar per million tokens is a
/// million pico-dollars per token, so six decimals come out whole. At most six digits before the point.
pub fn parse_money(text: &str) -> Option<PicoUsd> {
    millionths(text, 6).map(PicoUsd)
}

/// Parses a share of one, `0` to `1` with up to six decimals, into millionths.
pub fn parse_ratio(text: &str) -> Option<u32> {
    let ppm = millionths(text, 1)?;
    u32::try_from(ppm).ok().filter(|ppm| *ppm <= 1_000_000)
}

/// A surcharge (or discount) on catalogue prices, in millionths of the price: `7` percent is 70,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Markup(i64);

impl Markup {
    /// Parses a percentage, `-100` to `1000` with up to four decimals and without needless zeros in front.
    pub fn parse(percent: &str) -> Option<Self> {
        let (negative, digits) = match percent.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, percent),
        };
        let (int, frac) = digits.split_once('.').unwrap_or((digits, "0"));
        if frac.len() > 4 || (int.len() > 1 && int.starts_with('0')) {
            return None;
        }
        let ppm = i64::try_from(millionths(digits, 4)? / 100).ok()?;
        let ppm = if negative { -ppm } else { ppm };
        (-1_000_000..=10_000_000).contains(&ppm).then_some(Self(ppm))
    }

    /// `price` with the markup on every class, each rounded to the nearest pico-dollar.
    pub fn on(self, price: Price) -> Price {
        Price {
            input: self.of(price.input),
            output: self.of(price.output),
            cached_read: price.cached_read.map(|each| self.of(each)),
            cache_write: price.cache_write.map(|each| self.of(each)),
        }
    }

    fn of(self, each: PicoUsd) -> PicoUsd {
        let factor = u128::try_from(1_000_000 + self.0).unwrap_or(0);
        let marked = (u128::from(each.0) * factor + 500_000) / 1_000_000;
        PicoUsd(u64::try_from(marked).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dollars_per_million_tokens_become_pico_dollars_per_token() {
        for (text, pico) in [
            ("2.5", 2_500_000),
            ("10", 10_000_000),
            ("0.075", 75_000),
            ("0.000001", 1),
            ("0", 0),
            ("999999.999999", 999_999_999_999),
            ("007", 7_000_000),
        ] {
            assert_eq!(parse_money(text), Some(PicoUsd(pico)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0.0000001",
            "1000000",
            "1.2.3",
            " 1",
            "$1",
            "NaN",
        ] {
            assert_eq!(parse_money(text), None, "{text}");
        }
    }

    #[test]
    fn ratios_stay_between_nought_and_one() {
        for (text, ppm) in [("0.95", 950_000), ("1", 1_000_000), ("1.0", 1_000_000), ("0", 0), ("0.000001", 1)] {
            assert_eq!(parse_ratio(text), Some(ppm), "{text}");
        }
        for text in ["1.000001", "2", "95", "95%", "-0.1", "0.9999999", "00.5"] {
            assert_eq!(parse_ratio(text), None, "{text}");
        }
    }

    #[test]
    fn a_markup_is_a_percentage_of_each_class() {
        let price = Price {
            input: PicoUsd(2_500_000),
            output: PicoUsd(10_000_000),
            cached_read: Some(PicoUsd(1)),
            cache_write: None,
        };
        let marked = Markup::parse("7").unwrap().on(price);
        assert_eq!(marked.input, PicoUsd(2_675_000));
        assert_eq!(marked.output, PicoUsd(10_700_000));
        assert_eq!(marked.cached_read, Some(PicoUsd(1)));
        assert_eq!(marked.cache_write, None);
        assert_eq!(Markup::parse("-100").unwrap().on(price).output, PicoUsd(0));
        assert_eq!(Markup::parse("-2.5").unwrap().on(price).output, PicoUsd(9_750_000));
        assert_eq!(Markup::parse("0.0001").unwrap().on(price).output, PicoUsd(10_000_010));
        let of_one = |percent: &str| Markup::parse(percent).unwrap().of(PicoUsd(1));
        assert_eq!((of_one("50"), of_one("49.9999")), (PicoUsd(2), PicoUsd(1)), "to the nearest");
        for text in ["", "-", "7%", "1000.0001", "-100.0001", "--1", "0.00001", "10000", "007"] {
            assert_eq!(Markup::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn money_keeps_every_digit(whole in 0u64..1_000_000, micro in 0u64..1_000_000) {
            prop_assert_eq!(parse_money(&format!("{whole}.{micro:06}")), Some(PicoUsd(whole * 1_000_000 + micro)));
        }

        #[test]
        fn any_text_is_a_number_or_refused_without_a_panic(text in "[-+0-9.,eE% ]{0,16}") {
            let _ = (parse_money(&text), parse_ratio(&text), Markup::parse(&text));
        }

        #[test]
        fn no_markup_changes_nothing(input: u64, output: u64) {
            let price = Price { input: PicoUsd(input), output: PicoUsd(output), cached_read: None, cache_write: None };
            prop_assert_eq!(Markup::default().on(price), price);
        }
    }
}
