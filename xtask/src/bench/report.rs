//! From raw runs to what people read: medians of per-round ratios, beside the bar. It must never drop a run: the JSON holds them all.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use super::cases::{Bar, Case, Effort, Figure, INSTRUCTIONS, count};
use super::rig::Rig;
use super::spec::Measured;

/// Floor and subject, one after the other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    /// What was measured.
    pub(crate) case: Case,
    /// From 1.
    pub(crate) number: u32,
    /// Was this round run to count instructions? Then its times do not count.
    pub(crate) counting: bool,
    /// The floor's run.
    pub(crate) floor: Measured,
    /// The subject's run.
    pub(crate) subject: Measured,
}

/// Everything that one bench found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The machine.
    pub(crate) rig: Rig,
    /// What was compared with the floor.
    pub(crate) subject: String,
    /// How long and how often.
    pub(crate) effort: Effort,
    /// Requests per second offered in the open loop: half of what the floor can.
    pub(crate) offered_per_second: Option<f64>,
    /// The summary, by case and figure.
    pub(crate) lines: Vec<Line>,
    /// What a reader must know before believing a figure.
    pub(crate) notes: Vec<String>,
    /// The raw runs, in order.
    pub(crate) rounds: Vec<Round>,
}

/// One figure over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    case: Case,
    figure: &'static str,
    unit: &'static str,
    floor: f64,
    subject: f64,
    ratio: Option<Spread>,
    bar: Bar,
    /// Is the bar met?
    pub(crate) met: bool,
}

/// Of the per-round ratios subject : floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Report {
    /// Sums up the rounds of `case` that are there.
    pub(crate) fn sum_up(&mut self, case: Case) {
        let rounds: Vec<&Round> = self.rounds.iter().filter(|round| round.case == case).collect();
        self.lines
            .extend(case.figures().iter().filter_map(|figure| line(case, figure, &rounds)));
        for (side, pick) in [("floor", floor as fn(&Round) -> &Measured), ("subject", subject)] {
            self.notes.extend(doubts(case, side, rounds.iter().map(|round| pick(round))));
        }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header(["case", "figure", "floor", "subject", "subject : floor", "bar", ""]);
        let mut last = None;
        for line in &self.lines {
            let title = if last.replace(line.case) == Some(line.case) {
                ""
            } else {
                line.case.title()
            };
            let ratio = line.ratio.map_or(String::new(), |Spread { median, least, most }| {
                format!("{median:.2}  ({least:.2}–{most:.2})")
            });
            let (bar, verdict) = match line.bar {
                Bar::None => (String::new(), ""),
                Bar::Ratio(most) => (format!("≤ {most} ×"), if line.met { "met" } else { "MISSED" }),
                Bar::Most(most) => (format!("≤ {most} {}", line.unit), if line.met { "met" } else { "MISSED" }),
            };
            let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
            table.add_row([
                Cell::new(title),
                Cell::new(line.figure),
                right(format!("{} {}", short(line.floor), line.unit)),
                right(format!("{} {}", short(line.subject), line.unit)),
                right(ratio),
                right(bar),
                Cell::new(verdict),
            ]);
        }
        let mut notes = String::new();
        for note in &self.notes {
            notes.push_str("\nnote: ");
            notes.push_str(note);
        }
        let Effort { rounds, window_ms, .. } = self.effort;
        let offered = self
            .offered_per_second
            .map_or(String::new(), |rate| format!("; open loop at {rate:.0} requests/s"));
        format!(
            "{table}\n{}\nsubject: {}; {rounds} rounds of {:.1} s in turn; medians, ratios as median of rounds (least–most){offered}{notes}",
            self.rig.line(),
            self.subject,
            count(window_ms) / 1e3
        )
    }

    /// For programs.
    pub(crate) fn save(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn floor(round: &Round) -> &Measured {
    &round.floor
}

fn subject(round: &Round) -> &Measured {
    &round.subject
}

fn line(case: Case, figure: &Figure, rounds: &[&Round]) -> Option<Line> {
    let pairs: Vec<(f64, f64)> = rounds
        .iter()
        // A counting round gives instructions and nothing else.
        .filter(|round| round.counting == (figure.name == INSTRUCTIONS))
        .filter_map(|round| Some(((figure.value)(&round.floor)?, (figure.value)(&round.subject)?)))
        .collect();
    let floor = spread(pairs.iter().map(|pair| pair.0))?.median;
    let subject = spread(pairs.iter().map(|pair| pair.1))?.median;
    let ratio = spread(pairs.iter().filter(|pair| pair.0 > 0.0).map(|pair| pair.1 / pair.0));
    let met = match figure.bar {
        Bar::None => true,
        Bar::Ratio(most) => ratio.is_some_and(|ratio| ratio.median <= most),
        Bar::Most(most) => subject <= most,
    };
    Some(Line {
        case,
        figure: figure.name,
        unit: figure.unit,
        floor,
        subject,
        ratio,
        bar: figure.bar,
        met,
    })
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(Spread {
        median: f64::midpoint(lower, upper),
        least: *values.first()?,
        most: *values.last()?,
    })
}

/// Why the figures of one side might not be what they seem.
fn doubts<'a>(case: Case, side: &str, runs: impl Iterator<Item = &'a Measured>) -> Vec<String> {
    let (mut errors, mut answered, mut first) = (0, 0, None);
    let (mut taken, mut slept) = (Vec::new(), Vec::new());
    for run in runs {
        errors += run.errors;
        answered += run.answered;
        first = first.or(run.first_error.as_deref());
        let share = |nanos: u64| count(nanos) / count(run.window_ns);
        taken.push(share(run.waited_ns).max(share(run.load_waited_ns)));
        // A load that had no CPU could not keep the proxy awake: that is the other doubt.
        slept.push(1.0 - share(run.cpu_ns + run.waited_ns + run.load_waited_ns));
    }
    let mut notes = Vec::new();
    let title = case.title();
    if errors > 0 {
        notes.push(format!(
            "{title}: {errors} requests of the {side} failed ({answered} succeeded); first: {}",
            first.unwrap_or_default()
        ));
    }
    let median = |values: Vec<f64>| spread(values.into_iter()).map_or(0.0, |spread| spread.median) * 100.0;
    let (taken, slept) = (median(taken), median(slept));
    if taken > 5.0 {
        notes.push(format!("{title}: other processes had a core for {taken:.0} % of the {side}'s time"));
    }
    if case.saturates() && slept > 5.0 {
        notes.push(format!(
            "{title}: the {side} slept {slept:.0} % of the time, so the load was the limit"
        ));
    }
    notes
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu_us: u64) -> Measured {
        Measured {
            completed: 1_000,
            answered: 1_000,
            cpu_ns: cpu_us * 1_000_000,
            window_ns: 1_000_000_000,
            ..Measured::default()
        }
    }

    fn round(number: u32, floor: u64, subject: u64) -> Round {
        Round {
            case: Case::Unary,
            number,
            counting: false,
            floor: run(floor),
            subject: run(subject),
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        // The machine became twice as slow after the first round: a ratio of medians would say 0.75 or 1.5.
        let rounds = [round(1, 20, 30), round(2, 40, 36), round(3, 40, 40)];
        let line = line(Case::Unary, &Case::Unary.figures()[0], &rounds.each_ref()).unwrap();
        assert_eq!(
            line.ratio,
            Some(Spread {
                median: 1.0,
                least: 0.9,
                most: 1.5
            })
        );
        assert!(line.met);
    }

    #[test]
    fn a_missed_bar_is_said() {
        let line = line(Case::Unary, &Case::Unary.figures()[0], &[&round(1, 20, 21)]).unwrap();
        assert!(!line.met);
    }

    #[test]
    fn a_round_that_counts_instructions_gives_no_time() {
        let mut counting = round(1, 20, 40);
        counting.counting = true;
        counting.floor.instructions = Some(70_000_000);
        counting.subject.instructions = Some(63_000_000);
        let rounds = [counting, round(2, 20, 20)];
        let figures = Case::Unary.figures();
        let (cpu, instructions) = (&figures[0], &figures[1]);
        assert_eq!(line(Case::Unary, cpu, &rounds.each_ref()).unwrap().ratio, spread([1.0].into_iter()));
        let instructions = line(Case::Unary, instructions, &rounds.each_ref()).unwrap();
        assert_eq!((instructions.floor, instructions.subject), (70.0, 63.0));
    }

    #[test]
    fn an_even_number_of_rounds_has_a_median_between_two() {
        assert_eq!(
            spread([4.0, 1.0, 2.0, 3.0].into_iter()),
            Some(Spread {
                median: 2.5,
                least: 1.0,
                most: 4.0
            })
        );
        assert_eq!(spread(std::iter::empty()), None);
    }

    #[test]
    fn a_proxy_that_sleeps_under_a_saturating_load_is_said() {
        let mut idle = run(500);
        idle.cpu_ns = 500_000_000;
        assert_eq!(doubts(Case::Unary, "floor", [&idle].into_iter()).len(), 1);
        idle.waited_ns = 500_000_000;
        let notes = doubts(Case::Unary, "floor", [&idle].into_iter());
        assert!(notes.len() == 1 && notes[0].contains("other processes"), "{notes:?}");
    }
}
