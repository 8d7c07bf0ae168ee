//! Why something is reported, in one word: what conditions and Events carry, and what people search for.
//!
//! A reason must never change its name: alerts are written on it.

/// Why something is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A file or document cannot be read.
    Unreadable,
    /// Not an object of ours, or of no use here.
    Ignored,
    /// A field, type, size or rule of the schema does not hold.
    InvalidSpec,
    /// The same object is there twice.
    Duplicate,
    /// The catalogue has no such provider.
    UnknownProvider,
    /// Keys go over the network in plain text.
    PlainText,
    /// The Secret is not there.
    SecretNotFound,
    /// The Secret is there, its entry is not.
    SecretKeyNotFound,
    /// The entry holds no key: empty, a line break, no text.
    InvalidKey,
    /// The Secret does not say that its bytes may go to this host.
    SecretNotOptedIn,
    /// The entry holds bytes of a version that `rotation.revokedVersions` names.
    KeyRevoked,
    /// A Secret is taken on trust, since it is not among the files.
    SecretAssumed,
    /// The ConfigMap of a `caBundle` is not there.
    ConfigMapNotFound,
    /// The ConfigMap is there, its entry is not.
    ConfigMapKeyNotFound,
    /// The entry holds no certificate.
    InvalidCertificate,
    /// The `ProviderKey` is not there.
    KeyNotFound,
    /// The `ProviderKey` is there, and nothing of it can be used.
    KeyUnusable,
    /// The `ProviderKey` does not allow this namespace.
    NamespaceNotAllowed,
    /// Whether a namespace is meant depends on labels that are not known.
    LabelsUnknown,
    /// The route's residency does not allow the target's provider.
    OutsideResidency,
    /// No target of a rule can be used.
    NoTargets,
    /// Another route serves the model.
    Conflicted,
    /// A namespace's own route serves the model instead of this shared one.
    Overridden,
    /// No call ever reaches the rule.
    UnreachableRule,
    /// The provider has no such endpoint for the model.
    UnsupportedEndpoint,
    /// The catalogue does not know the model.
    UnknownModel,
    /// No price is known, so no savings are counted.
    UnknownPrice,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 27] = [
        Self::Unreadable,
        Self::Ignored,
        Self::InvalidSpec,
        Self::Duplicate,
        Self::UnknownProvider,
        Self::PlainText,
        Self::SecretNotFound,
        Self::SecretKeyNotFound,
        Self::InvalidKey,
        Self::SecretNotOptedIn,
        Self::KeyRevoked,
        Self::SecretAssumed,
        Self::ConfigMapNotFound,
        Self::ConfigMapKeyNotFound,
        Self::InvalidCertificate,
        Self::KeyNotFound,
        Self::KeyUnusable,
        Self::NamespaceNotAllowed,
        Self::LabelsUnknown,
        Self::OutsideResidency,
        Self::NoTargets,
        Self::Conflicted,
        Self::Overridden,
        Self::UnreachableRule,
        Self::UnsupportedEndpoint,
        Self::UnknownModel,
        Self::UnknownPrice,
    ];

    /// As a condition shows it.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The condition that an error of this kind turns to `False`; `None` where none of an object's conditions is about it.
    pub fn condition(self) -> Option<&'static str> {
        self.row().1
    }

    /// What it means, in one sentence.
    pub fn meaning(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, Option<&'static str>, &'static str) {
        let accepted = Some(super::ACCEPTED);
        let resolved = Some(super::RESOLVED_REFS);
        match self {
            Self::Unreadable => ("Unreadable", None, "A file or document cannot be read."),
            Self::Ignored => ("Ignored", None, "The object has no part in routing."),
            Self::InvalidSpec => ("InvalidSpec", accepted, "A field, type, size or rule of the schema does not hold."),
            Self::Duplicate => ("Duplicate", accepted, "The same object is there twice."),
            Self::UnknownProvider => ("UnknownProvider", accepted, "The catalogue has no such provider."),
            Self::PlainText => ("PlainText", None, "Keys go over the network in plain text."),
            Self::SecretNotFound => ("SecretNotFound", resolved, "A Secret is not there."),
            Self::SecretKeyNotFound => ("SecretKeyNotFound", resolved, "A Secret has no such entry."),
            Self::InvalidKey => (
                "InvalidKey",
                resolved,
                "An entry is no key: it is empty, has a line break, or is no text.",
            ),
            Self::SecretNotOptedIn => (
                "SecretNotOptedIn",
                resolved,
                "A Secret does not say in its annotation `outrigger.dev/origins` that its bytes may go to this host.",
            ),
            Self::KeyRevoked => (
                "KeyRevoked",
                resolved,
                "An entry holds a version that `rotation.revokedVersions` names.",
            ),
            Self::SecretAssumed => ("SecretAssumed", None, "A Secret is not among the files and is taken on trust."),
            Self::ConfigMapNotFound => ("ConfigMapNotFound", resolved, "The ConfigMap of a `caBundle` is not there."),
            Self::ConfigMapKeyNotFound => ("ConfigMapKeyNotFound", resolved, "The ConfigMap of a `caBundle` has no such entry."),
            Self::InvalidCertificate => ("InvalidCertificate", resolved, "A `caBundle` holds no certificate."),
            Self::KeyNotFound => ("KeyNotFound", resolved, "A `ProviderKey` is not there."),
            Self::KeyUnusable => ("KeyUnusable", resolved, "A `ProviderKey` is there, and nothing of it can be used."),
            Self::NamespaceNotAllowed => ("NamespaceNotAllowed", resolved, "A `ProviderKey` does not allow the namespace."),
            Self::LabelsUnknown => ("LabelsUnknown", None, "Labels that decide are not among the files."),
            Self::OutsideResidency => (
                "OutsideResidency",
                resolved,
                "The route's residency does not allow the provider of a target.",
            ),
            Self::NoTargets => ("NoTargets", resolved, "No target of a rule can be used, so its calls fail."),
            Self::Conflicted => ("Conflicted", accepted, "An older route serves a model."),
            Self::Overridden => ("Overridden", None, "A namespace's own route serves a model of a shared one."),
            Self::UnreachableRule => ("UnreachableRule", None, "No call ever reaches a rule."),
            Self::UnsupportedEndpoint => (
                "UnsupportedEndpoint",
                None,
                "The provider does not serve the model at the endpoint.",
            ),
            Self::UnknownModel => ("UnknownModel", None, "The catalogue does not know a model."),
            Self::UnknownPrice => ("UnknownPrice", None, "No price is known, so no savings are counted."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_a_word_of_its_own_that_a_condition_may_carry() {
        let words: BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
        assert_eq!(words.len(), Reason::ALL.len());
        // What the API server asks of a condition's reason.
        let form = regex_lite::Regex::new("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$").unwrap();
        for reason in Reason::ALL {
            assert!(form.is_match(reason.as_str()), "{reason:?}");
            assert_eq!(reason.as_str(), format!("{reason:?}"));
            assert!(reason.meaning().ends_with('.'), "{reason:?}");
        }
    }
}
