//! Single signals of the choice, each of which can be switched off to measure what it is worth: `make eval-ablation`.
//!
//! Only with the development feature `ablation`: without it every signal is on, and asking compiles to nothing.

/// What can be switched off, each at the one place where it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Facts,
    Topics,
    GroupTopic,
    LongTurns,
    Level,
    VagueWords,
    FactSigns,
    TopicSigns,
    Names,
    Quotes,
    Answer,
    Echo,
    Orders,
    Identifiers,
    Repeats,
    WideMatch,
    Feedback,
    Relatives,
    LaterFirst,
    Speaker,
    MeetingWords,
    MinorWords,
    Values,
    Coverage,
    KeyRates,
    SpokenKeys,
    Holders,
    Bundles,
}

/// Whether a signal counts: always, without the feature `ablation`.
#[cfg(not(feature = "ablation"))]
pub(crate) const fn is_on(_signal: Signal) -> bool {
    true
}

/// Whether a signal counts: if `ROLECORE_WITHOUT` does not name it, as it was when the first was asked for.
#[cfg(feature = "ablation")]
pub(crate) fn is_on(signal: Signal) -> bool {
    static OFF: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let off = OFF.get_or_init(|| bits(&std::env::var("ROLECORE_WITHOUT").unwrap_or_default()));
    off & bit(signal) == 0
}

/// The names that `ROLECORE_WITHOUT` lists, with commas between them.
#[cfg(feature = "ablation")]
const NAMES: [(&str, Signal); 28] = [
    ("facts", Signal::Facts),
    ("topics", Signal::Topics),
    ("group-topic", Signal::GroupTopic),
    ("long-turns", Signal::LongTurns),
    ("level", Signal::Level),
    ("vague-words", Signal::VagueWords),
    ("fact-signs", Signal::FactSigns),
    ("topic-signs", Signal::TopicSigns),
    ("names", Signal::Names),
    ("quotes", Signal::Quotes),
    ("answer", Signal::Answer),
    ("echo", Signal::Echo),
    ("orders", Signal::Orders),
    ("identifiers", Signal::Identifiers),
    ("repeats", Signal::Repeats),
    ("wide-match", Signal::WideMatch),
    ("feedback", Signal::Feedback),
    ("relatives", Signal::Relatives),
    ("later-first", Signal::LaterFirst),
    ("speaker", Signal::Speaker),
    ("meeting-words", Signal::MeetingWords),
    ("minor-words", Signal::MinorWords),
    ("values", Signal::Values),
    ("coverage", Signal::Coverage),
    ("key-rates", Signal::KeyRates),
    ("spoken-keys", Signal::SpokenKeys),
    ("holders", Signal::Holders),
    ("bundles", Signal::Bundles),
];

#[cfg(feature = "ablation")]
const fn bit(signal: Signal) -> u32 {
    1 << signal as u32
}

/// The bits of the signals that a list names. Panics at a name that is none: a table would show it as worth nothing.
#[cfg(feature = "ablation")]
fn bits(list: &str) -> u32 {
    let of = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|&(_, signal)| bit(signal));
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| of(name).unwrap_or_else(|| panic!("ROLECORE_WITHOUT names no signal: {name:?}"))).sum()
}

#[cfg(all(test, feature = "ablation"))]
mod tests {
    use super::*;

    #[test]
    fn each_signal_has_one_name_and_one_bit() {
        let all: Vec<&str> = NAMES.iter().map(|&(name, _)| name).collect();
        assert_eq!(bits(&all.join(",")), (1 << (Signal::Bundles as u32 + 1)) - 1);
        assert_eq!(bits("level,"), bit(Signal::Level));
        assert_eq!(bits(""), 0);
    }

    #[test]
    #[should_panic(expected = "names no signal")]
    fn a_name_that_is_none_is_refused() {
        bits("levels");
    }
}
