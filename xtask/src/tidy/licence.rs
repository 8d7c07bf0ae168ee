//! Which licences the product may be built from. It must never guess: an expression that does not parse is not allowed.

/// Permissive licences that we accept (SPDX names).
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // The root certificates of Mozilla's list: data, with no condition but the notice.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression can be satisfied with the accepted licences alone. `/` is the old way to write `OR`.
pub(super) fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let verdict = any_of(&mut tokens);
    verdict == Some(true) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `AND` binds tighter than `OR`.
fn any_of(tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut verdict = all_of(tokens)?;
    while tokens.next_if_eq(&"OR").is_some() {
        verdict |= all_of(tokens)?;
    }
    Some(verdict)
}

fn all_of(tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut verdict = one(tokens)?;
    while tokens.next_if_eq(&"AND").is_some() {
        verdict &= one(tokens)?;
    }
    Some(verdict)
}

fn one(tokens: &mut Tokens<'_>) -> Option<bool> {
    let name = tokens.next()?;
    if name == "(" {
        let verdict = any_of(tokens)?;
        return tokens.next_if_eq(&")").map(|_| verdict);
    }
    if matches!(name, ")" | "AND" | "OR" | "WITH") {
        return None;
    }
    if tokens.next_if_eq(&"WITH").is_none() {
        return Some(ALLOWED.contains(&name));
    }
    let exception = tokens.next()?;
    Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()))
}

#[cfg(test)]
mod tests {
    use super::is_permissive;

    #[test]
    fn an_expression_holds_when_some_choice_of_accepted_licences_satisfies_it() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("Unlicense/MIT", true),
            ("GPL-2.0/MIT", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT OR Apache-2.0 AND GPL-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("ISC AND (Apache-2.0 OR ISC) AND (Apache-2.0 OR ISC OR MIT-0)", true),
        ] {
            assert_eq!(is_permissive(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_does_not_parse_is_not_allowed() {
        for expression in ["", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT Apache-2.0", "MIT WITH", "AND"] {
            assert!(!is_permissive(expression), "{expression}");
        }
    }
}
