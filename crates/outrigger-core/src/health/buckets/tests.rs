use super::*;
use crate::testing::{at, ms};

fn filled(times: impl IntoIterator<Item = (u64, u64)>) -> Samples {
    let mut samples = Samples::default();
    for (now, time) in times {
        samples.record(ms(time), at(now));
    }
    samples
}

#[test]
fn a_pace_is_of_the_last_minute_from_three_answers_on_and_stale_before() {
    let mut times = Samples::default();
    let second = |n: u64| Tick(n * 1_000_000);
    let ms = Duration::from_millis;
    let of_late = |millis: u32| Some((millis * 1_000, true));
    for (n, known) in [(0, None), (1, None), (2, of_late(300))] {
        times.record(ms(300), second(n));
        assert_eq!(times.pace(second(n)), known);
    }
    for n in 3..40 {
        times.record(ms(300), second(n));
    }
    assert_eq!(times.pace(second(82)), of_late(300), "of late are 22 to 39");
    assert_eq!(times.pace(second(97)), of_late(300));
    assert_eq!(times.pace(second(98)), Some((300_000, false)), "two are too few");
    times.record(ms(100), second(98));
    times.record(ms(100), second(99));
    assert_eq!(times.pace(second(99)), of_late(100), "39, 98 and 99");
    assert_eq!(times.quantile(500_000, second(99)), Some(ms(300)), "the window is slower to follow");
    assert_eq!(times.pace(second(700)), None, "forgotten");
    for n in 0..100 {
        times.record(ms(500 + n), second(800));
    }
    let (median, of_late) = times.pace(second(800)).unwrap();
    assert!(of_late && (520_000..580_000).contains(&median), "of a sample of them: {median:?}");
}

#[test]
fn quantiles_are_the_samples_own_rounded_up() {
    let samples = filled((1..=100).map(|n| (n * 100, n)));
    let now = at(10_000);
    for (ppm, value) in [
        (0, 1),
        (10_000, 1),
        (500_000, 50),
        (950_000, 95),
        (990_000, 99),
        (999_000, 100),
        (1_000_000, 100),
    ] {
        assert_eq!(samples.quantile(ppm, now), Some(ms(value)), "{ppm}");
    }
    assert_eq!(filled([]).quantile(500_000, now), None);
    assert_eq!(filled([(0, 7)]).quantile(10_000, now), Some(ms(7)));
}

#[test]
fn a_busy_second_counts_as_many_as_it_had() {
    // 1,000 calls of 10 ms in one second, then 10 of 100 ms: the p95 must stay with the many.
    let mut samples = filled((0..1_000).map(|n| (n, 10)));
    for n in 0..10 {
        samples.record(ms(100), at(1_000 + n * 50));
    }
    let now = at(2_000);
    samples.record(ms(100), now);
    assert_eq!(samples.count(now), 1_011);
    assert_eq!(samples.quantile(950_000, now), Some(ms(10)));
    assert_eq!(samples.quantile(1_000_000, now), Some(ms(100)));
}

#[test]
fn the_window_is_a_minute_where_traffic_is_dense_and_ten_where_it_is_thin() {
    let dense = filled((0..200).map(|n| (n * 1_000, n)));
    let now = at(199_000);
    assert_eq!(dense.count(now), 61);
    let thin = filled((0..60).map(|n| (n * 12_000, n)));
    assert_eq!(thin.count(at(59 * 12_000)), NEEDED, "five a minute: as many as are needed");
    let sparse = filled((0..30).map(|n| (n * 60_000, n)));
    assert_eq!(sparse.count(at(29 * 60_000)), 11, "one a minute: ten minutes");
    let mut tally = Tally::default();
    for n in 0..200 {
        tally.record(n % 4 != 0, at(n * 1_000));
    }
    assert_eq!(tally.counts(now), (61, 15));
    assert_eq!(tally.counts(at(199_000 + 601_000)), (0, 0), "old evidence is none");
    assert_eq!(dense.quantile(500_000, at(199_000 + 601_000)), None);
}

#[test]
fn memory_does_not_grow_with_time_or_load() {
    let mut samples = Samples::default();
    let mut tally = Tally::default();
    for n in 0..2_000u64 {
        // Thin and dense in turn, over hours.
        let now = at(n * 4_000 + n % 7);
        for burst in 0..=(n % 40) {
            samples.record(ms(burst), now);
        }
        tally.record(true, now);
        assert!(samples.seconds.len() <= SECONDS && tally.seconds.len() <= SECONDS);
    }
    assert_eq!(samples.grid.len(), 101);
    assert_eq!(samples.seen, samples.seconds.iter().map(|second| second.seen).sum::<u32>());
}

#[test]
fn a_cached_quantile_is_worked_out_again_after_sixteen_samples_or_a_second() {
    let mut samples = filled((0..36).map(|n| (n, 10)));
    for n in 0..15 {
        samples.record(ms(1_000), at(100 + n));
    }
    let before = samples.quantile(1_000_000, at(120));
    samples.record(ms(1_000), at(1_200));
    assert_eq!(before, Some(ms(10)), "not at each sample");
    assert_eq!(samples.quantile(1_000_000, at(1_200)), Some(ms(1_000)));
}

#[test]
fn a_busy_second_is_sorted_once_and_the_next_one_tells() {
    // 32,000 calls of 10 ms: sixteen slow ones behind them are no reason to sort again, the next second is.
    let mut samples = filled((0..32_000).map(|n| (n / 32, 10)));
    samples.record(ms(10), at(1_000));
    let sorted = samples.worked_out;
    for n in 0..1_000 {
        samples.record(ms(1_000), at(1_001 + n / 10));
        assert_eq!((samples.worked_out, samples.fresh), (sorted, n32(n + 1)));
    }
    samples.record(ms(1_000), at(2_000));
    assert_eq!(samples.quantile(1_000_000, at(2_000)), Some(ms(1_000)));
}

fn n32(n: u64) -> u32 {
    u32::try_from(n).unwrap()
}
