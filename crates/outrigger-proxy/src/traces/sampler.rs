//! Which requests are traced: a function of the parent's word and the trace's id alone, so that every process that sees a trace comes to
//! the same decision. It is asked before anything is built.

use super::context::{Parent, TraceId};

/// A decision in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampler {
    /// Whether a parent's decision is ours.
    pub(super) by_parent: bool,
    /// Of the rest, those below this, on a scale of 2⁶³.
    below: u64,
}

impl Sampler {
    /// Takes `ratio` of the traces, 0 to 1, and with `by_parent` whatever the parent took instead.
    pub(super) fn new(by_parent: bool, ratio: f64) -> Self {
        const SCALE: u64 = 1 << 63;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "clamped to the scale; a cast stays inside"
        )]
        let below = (ratio.clamp(0.0, 1.0) * SCALE as f64) as u64;
        Self { by_parent, below }
    }

    /// Whether a request of `trace` is traced.
    pub(crate) fn takes(self, parent: Option<&Parent>, trace: TraceId) -> bool {
        match parent {
            Some(parent) if self.by_parent => parent.sampled,
            // The second half of the id, as the SDKs of the field have it: traces that they begin are decided alike.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
            _ => (trace.0 as u64) >> 1 < self.below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::context::SpanId, *};
    use proptest::prelude::*;

    fn parent(trace: TraceId, sampled: bool) -> Parent {
        Parent {
            trace,
            span: SpanId(1),
            sampled,
        }
    }

    #[test]
    fn a_parents_decision_goes_before_the_ratio_only_where_it_is_asked_for() {
        let trace = TraceId::mint();
        for sampled in [false, true] {
            let parent = parent(trace, sampled);
            assert_eq!(Sampler::new(true, 0.0).takes(Some(&parent), trace), sampled);
            assert_eq!(Sampler::new(true, 1.0).takes(Some(&parent), trace), sampled);
            assert!(Sampler::new(false, 1.0).takes(Some(&parent), trace));
            assert!(!Sampler::new(false, 0.0).takes(Some(&parent), trace));
        }
    }

    #[test]
    fn the_ratio_cuts_the_second_half_of_the_id() {
        let half = Sampler::new(false, 0.5);
        assert!(half.takes(None, TraceId(u128::MAX << 64)));
        assert!(half.takes(None, TraceId((1 << 63) - 1)));
        assert!(!half.takes(None, TraceId(1 << 63)));
        assert!(Sampler::new(false, 1.0).takes(None, TraceId(u128::MAX)));
    }

    proptest! {
        #[test]
        fn a_larger_ratio_takes_what_a_smaller_one_took(trace: u128, a in 0.0..=1.0, b in 0.0..=1.0) {
            let (less, more) = if a < b { (a, b) } else { (b, a) };
            let takes = |ratio| Sampler::new(true, ratio).takes(None, TraceId(trace));
            prop_assert!(!takes(less) || takes(more));
        }
    }

    #[test]
    fn one_in_a_hundred_is_about_one_in_a_hundred() {
        let sampler = Sampler::new(true, 0.01);
        let mut random = fastrand::Rng::with_seed(7);
        let taken = (0..100_000).filter(|_| sampler.takes(None, TraceId(random.u128(1..)))).count();
        assert!((900..1_100).contains(&taken), "{taken}");
    }
}
