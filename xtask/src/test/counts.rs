//! How many tests ran, out of what test runners print. It must never count less than one failure for a runner that failed.

/// Tests, or checks where a step is one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

/// How to read what a step prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Runner {
    /// A step that is one check.
    Check,
    /// A step that only prepares: it counts where it fails.
    Preparation,
    /// `cargo test`.
    Cargo,
    Pytest,
    /// `node --test` with its `spec` reporter.
    Node,
}

impl Runner {
    pub(super) fn counts(self, output: &str, success: bool) -> Counts {
        let mut counts = match self {
            Self::Check => Counts {
                passed: success.into(),
                ..Counts::default()
            },
            Self::Preparation => Counts::default(),
            Self::Cargo => of_cargo(output),
            Self::Pytest => of_pytest(output),
            Self::Node => of_node(output),
        };
        // A program that does not compile, or dies, prints no summary.
        if !success && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }

    /// What stays visible of a step that passed: the summary of each program that ran a test.
    pub(super) fn summary(self, output: &str, counts: Counts) -> String {
        match self {
            Self::Check | Self::Preparation => String::new(),
            Self::Cargo => {
                let lines = output
                    .lines()
                    .filter(|line| line.starts_with(SUMMARY) && !line.contains(" 0 passed; 0 failed; 0 ignored"));
                lines.fold(String::new(), |text, line| text + line + "\n")
            }
            Self::Pytest | Self::Node => {
                let Counts { passed, failed, skipped } = counts;
                format!("{SUMMARY}ok. {passed} passed; {failed} failed; {skipped} ignored\n")
            }
        }
    }
}

impl Counts {
    /// A suite that did not run.
    pub(super) fn skip() -> Self {
        Self {
            skipped: 1,
            ..Self::default()
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; …`, once for each program.
fn of_cargo(output: &str) -> Counts {
    let lines = output.lines().filter(|line| line.starts_with(SUMMARY));
    numbered(lines.flat_map(|line| line.split(['.', ';'])))
}

/// The last line: `12 passed, 1 skipped in 3.21s`, between rulers or not, with minutes behind it or not.
fn of_pytest(output: &str) -> Counts {
    let words = |line: &&str| line.contains(" in ") && ["passed", "failed", "skipped", "error"].iter().any(|word| line.contains(word));
    let last = output.lines().rev().find(words).unwrap_or_default();
    let counted = last.split(" in ").next().unwrap_or_default();
    numbered(counted.trim_start_matches(['=', ' ']).split(','))
}

/// Sums up what is written as `number word`.
fn numbered<'a>(parts: impl Iterator<Item = &'a str>) -> Counts {
    let mut counts = Counts::default();
    for part in parts {
        let Some((number, word)) = part.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match word {
            "passed" | "xpassed" => counts.passed += number,
            "failed" | "error" | "errors" => counts.failed += number,
            // Expected to fail is not run as it should. What Rust tests ignore belongs to another command, and says to which.
            "skipped" | "xfailed" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

/// The closing lines: `ℹ pass 12`, `ℹ fail 0`, `ℹ cancelled 0`, `ℹ skipped 0`.
fn of_node(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines() {
        let Some((key, number)) = line.strip_prefix("ℹ ").and_then(|line| line.split_once(' ')) else {
            continue;
        };
        let number: u64 = number.trim().parse().unwrap_or_default();
        match key {
            "pass" => counts.passed += number,
            "fail" | "cancelled" => counts.failed += number,
            "skipped" | "todo" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

const SUMMARY: &str = "test result: ";

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts { passed, failed, skipped }
    }

    #[test]
    fn the_summaries_of_all_programs_add_up() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\n\
            test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(Runner::Cargo.counts(output, false), counts(15, 2, 0));
    }

    #[test]
    fn a_runner_that_fails_without_a_summary_is_one_failure() {
        for runner in [Runner::Check, Runner::Preparation, Runner::Cargo, Runner::Pytest, Runner::Node] {
            assert_eq!(runner.counts("error: could not compile", false), counts(0, 1, 0), "{runner:?}");
        }
    }

    #[test]
    fn pytest_is_understood_with_and_without_rulers() {
        for (line, expected) in [
            ("57 passed in 3.21s", counts(57, 0, 0)),
            ("===== 1 failed, 56 passed, 2 skipped, 3 warnings in 63.21s =====", counts(56, 1, 2)),
            ("1 failed, 3 passed, 2 errors in 0.21s", counts(3, 3, 0)),
            ("4 passed, 1 error, 2 xfailed, 1 xpassed in 0.21s", counts(5, 1, 2)),
            ("4 passed in 63.21s (0:01:03)", counts(4, 0, 0)),
        ] {
            assert_eq!(of_pytest(line), expected, "{line}");
        }
    }

    #[test]
    fn node_is_understood() {
        let output =
            "✔ streams (3.2ms)\nℹ tests 6\nℹ suites 0\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 0\nℹ duration_ms 62.1\n";
        assert_eq!(Runner::Node.counts(output, false), counts(3, 2, 1));
    }

    #[test]
    fn programs_without_tests_leave_no_summary() {
        let empty = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let full = "test result: ok. 10 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let output = format!("Running x\n{empty}\n{full}\n");
        assert_eq!(Runner::Cargo.summary(&output, counts(10, 0, 0)), format!("{full}\n"));
    }
}
