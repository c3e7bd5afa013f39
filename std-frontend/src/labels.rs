//! How conversations end, and why, in a word each: for programs, in the log and in metrics. There are so many words and no more, whatever
//! the network sends.

use anywire_core::event::End;
use anywire_core::request::{Refusal, Stop};
use anywire_core::session::Reason;

/// Every way to end, and every reason there is for it.
pub(crate) const ENDS: &[(&str, &[&str])] = &[
    ("finished", &[]),
    ("idle", &[]),
    ("stopped", &[]),
    ("reset", &[]),
    ("vanished", &[]),
    ("aborted", REASONS),
    ("refused", REFUSALS),
    ("other", &[]),
];

/// Why we abort a conversation.
const REASONS: &[&str] = &[
    "cut",
    "stalled",
    "ended_early",
    "frame",
    "idle",
    "unread",
    "head_timeout",
    "stopped",
    "failed",
    "broken",
    "other",
];

/// Why a peer does not get what it asks for.
pub(crate) const REFUSALS: &[&str] = &[
    "name",
    "not_found",
    "not_a_file",
    "exists",
    "denied",
    "full",
    "too_large",
    "failed",
    "unsupported",
    "other",
];

/// How a conversation ended, and why, if there is a reason.
pub(crate) fn end(end: End) -> (&'static str, Option<&'static str>) {
    match end {
        End::Finished => ("finished", None),
        End::Idle => ("idle", None),
        End::Stopped => ("stopped", None),
        End::Reset => ("reset", None),
        End::Vanished | End::Aborted(Reason::Cut { stop: Stop::Vanished, .. }) => {
            ("vanished", None)
        }
        End::Aborted(Reason::Refused(why)) => ("refused", Some(refusal(why))),
        End::Aborted(why) => ("aborted", Some(reason(why))),
        _ => ("other", None),
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Cut { stop: Stop::TimedOut, .. } => "stalled",
        Reason::Cut { .. } => "cut",
        Reason::EndedEarly { .. } => "ended_early",
        Reason::Frame(_) => "frame",
        Reason::Idle => "idle",
        Reason::Unread => "unread",
        Reason::HeadTimeout => "head_timeout",
        Reason::Stopped => "stopped",
        Reason::Failed => "failed",
        Reason::Broken(_) => "broken",
        _ => "other",
    }
}

/// Why a peer did not get what it asked for.
pub(crate) fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Name(_) => "name",
        Refusal::NotFound => "not_found",
        Refusal::NotAFile => "not_a_file",
        Refusal::Exists => "exists",
        Refusal::Denied => "denied",
        Refusal::Full => "full",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::Failed => "failed",
        Refusal::Unsupported => "unsupported",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use anywire_core::frame::FrameError;
    use anywire_core::name::NameError;
    use anywire_core::session::Breach;

    use super::*;

    #[test]
    fn each_is_listed() {
        let refusals = [
            Refusal::Name(NameError::Empty),
            Refusal::NotFound,
            Refusal::NotAFile,
            Refusal::Exists,
            Refusal::Denied,
            Refusal::Full,
            Refusal::TooLarge { max: 1 },
            Refusal::Failed,
            Refusal::Unsupported,
        ];
        let reasons = [
            Reason::Cut { moved: 1, stop: Stop::Reset },
            Reason::Cut { moved: 1, stop: Stop::TimedOut },
            Reason::EndedEarly { got: 1, want: 2 },
            Reason::Frame(FrameError::Tag { found: 7, allowed: &[] }),
            Reason::Idle,
            Reason::Unread,
            Reason::HeadTimeout,
            Reason::Stopped,
            Reason::Failed,
            Reason::Broken(Breach::Stalled),
            Reason::NoClock,
        ];
        let ends = [End::Finished, End::Idle, End::Stopped, End::Reset, End::Vanished];
        let aborts = reasons.into_iter().chain(refusals.map(Reason::Refused)).map(End::Aborted);
        let mut seen = Vec::new();
        for label in ends.into_iter().chain(aborts).map(end) {
            let (_, reasons) = ENDS.iter().find(|(end, _)| *end == label.0).unwrap();
            assert!(label.1.map_or(reasons.is_empty(), |reason| reasons.contains(&reason)));
            assert!(!seen.contains(&label), "{label:?}");
            seen.push(label);
        }
    }
}
