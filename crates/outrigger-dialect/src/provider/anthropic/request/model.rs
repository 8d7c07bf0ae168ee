//! What a Claude model takes, told from its name: generations differ in what they refuse with a 400. A name that is no Claude's is taken
//! for a model of the first thinking generation, which is what other makers' endpoints imitate.

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of a model, each of them asked for by name"
)]
pub(crate) struct Model {
    /// `temperature`, `top_p`, `top_k`.
    pub sampling: bool,
    /// `temperature` and `top_p` in one call.
    pub both_sampling: bool,
    /// A last message of the assistant, to be continued.
    pub prefill: bool,
    /// `thinking: adaptive` and `output_config.effort`.
    pub adaptive: bool,
    /// `thinking: enabled` with a budget.
    pub budget: bool,
    /// Thinking cannot be disabled.
    pub always_thinks: bool,
    /// `tool_choice` any or tool.
    pub forced_tools: bool,
    /// `role: system` between messages.
    pub system_turns: bool,
    /// The effort `xhigh`.
    pub xhigh: bool,
    /// Serves the API version of October 2026.
    pub version_2026_10: bool,
}

impl Model {
    /// The model of that name; `reasoning` decides whether an unknown one thinks.
    pub(crate) fn named(name: &str, reasoning: bool) -> Self {
        let Some((family, version)) = claude(name) else {
            return Self {
                budget: reasoning,
                ..Self::of("", (4, 0))
            };
        };
        Self::of(family, version)
    }

    fn of(family: &str, version: (u16, u16)) -> Self {
        let story = matches!(family, "fable" | "mythos");
        let work = matches!(family, "opus" | "sonnet");
        Self {
            sampling: version < (4, 7),
            both_sampling: version < (4, 1),
            prefill: version < (4, 6),
            adaptive: version >= (4, 6),
            budget: ((3, 7)..(4, 6)).contains(&version),
            always_thinks: story && version >= (5, 0) || work && version >= (5, 5),
            forced_tools: !(story && version >= (5, 1) || work && version >= (5, 5)),
            system_turns: version >= (4, 8),
            xhigh: version >= (4, 7),
            version_2026_10: version >= (4, 7),
        }
    }
}

/// Family and version in `claude-opus-4-7-20260416`, `claude-3-5-haiku-latest`, `anthropic/claude-sonnet-4.5`, `eu.anthropic.claude-…-v1:0`.
fn claude(name: &str) -> Option<(&str, (u16, u16))> {
    let (_, rest) = name.split_once("claude-")?;
    let mut words = rest.split(['-', '.', '@', ':']).peekable();
    // A date is no version.
    let number = |word: &str| (word.len() <= 2).then(|| word.parse::<u16>().ok()).flatten();
    let leading = words.peek().copied().unwrap_or_default();
    let family_first = number(leading).is_none();
    let mut family = if family_first { words.next().unwrap_or_default() } else { "" };
    let major = words.next().and_then(number)?;
    let minor = words.peek().copied().and_then(number);
    if minor.is_some() {
        words.next();
    }
    if !family_first {
        family = words.next().unwrap_or_default();
    }
    Some((family, (major, minor.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_and_version_are_read_from_every_way_of_writing_a_name() {
        for (name, expected) in [
            ("claude-opus-4-7-20260416", Some(("opus", (4, 7)))),
            ("claude-sonnet-4-20250514", Some(("sonnet", (4, 0)))),
            ("claude-3-5-haiku-latest", Some(("haiku", (3, 5)))),
            ("claude-3-opus-20240229", Some(("opus", (3, 0)))),
            ("anthropic/claude-sonnet-4.5", Some(("sonnet", (4, 5)))),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", Some(("haiku", (4, 5)))),
            ("claude-fable-5", Some(("fable", (5, 0)))),
            ("claude-2.1", Some(("", (2, 1)))),
            ("claude-next", None),
            ("kimi-k2", None),
        ] {
            assert_eq!(claude(name), expected, "{name}");
        }
    }

    #[test]
    fn generations_take_what_they_take() {
        let model = |name| Model::named(name, false);
        assert!(model("claude-sonnet-4-6").sampling && !model("claude-opus-4-7").sampling);
        assert!(model("claude-sonnet-4-5").prefill && !model("claude-sonnet-4-6").prefill);
        assert!(model("claude-sonnet-4-5").budget && !model("claude-3-5-sonnet-20241022").budget);
        assert!(model("claude-fable-5").always_thinks && model("claude-fable-5").forced_tools && !model("claude-fable-5-1").forced_tools);
        assert!(
            !model("claude-opus-5-5").forced_tools && model("claude-haiku-5-5").forced_tools && !model("claude-haiku-5-5").always_thinks
        );
        assert!(model("claude-opus-5").forced_tools && model("claude-opus-4-8").system_turns && !model("claude-opus-4-7").system_turns);
        assert!(Model::named("kimi-k2-thinking", true).budget && !model("kimi-k2").budget && model("kimi-k2").sampling);
    }
}
