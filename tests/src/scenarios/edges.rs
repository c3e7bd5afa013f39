//! Where a conversation can break: at each there is a scenario for every service, or a reason why there is none.

use std::time::Duration;

use anywire_core::event::End;
use anywire_core::request::Stop;
use anywire_core::session::Reason;

use crate::world::World;

/// Where a conversation can break, and what else every service is tried with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The lab's own conversation.
    Lab,
    /// The longest message there may be, and one that is longer.
    Longest,
    /// Who ends its side still gets every answer.
    HalfClose,
    /// The server refuses something.
    Refusal,
    /// The server resets the connection.
    Reset,
    /// Many peers at once.
    Many,
    /// The peer ends in good order there.
    End(Stage),
    /// The peer resets the connection there.
    Abort(Stage),
    /// The peer does nothing more there.
    Stall(Stage),
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the first byte.
    First,
    /// Within a head, a name or an option.
    Head,
    /// Within a message or a body, or before it is answered.
    Body,
    /// Within an answer.
    Answer,
    /// Behind an answer.
    Behind,
}

use Stage::{Answer, Behind, Body, First, Head};

impl Edge {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 19] = [
        Self::Lab,
        Self::Longest,
        Self::HalfClose,
        Self::Refusal,
        Self::Reset,
        Self::Many,
        Self::End(First),
        Self::End(Head),
        Self::End(Body),
        Self::Abort(First),
        Self::Abort(Head),
        Self::Abort(Body),
        Self::Abort(Answer),
        Self::Abort(Behind),
        Self::Stall(First),
        Self::Stall(Head),
        Self::Stall(Body),
        Self::Stall(Answer),
        Self::Stall(Behind),
    ];

    /// As it stands in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lab => "the lab's conversation",
            Self::Longest => "the longest message, and a longer one",
            Self::HalfClose => "half-close: what is owed comes",
            Self::Refusal => "what is refused",
            Self::Reset => "the server resets",
            Self::Many => "many at once",
            Self::End(First) => "an end before the first byte",
            Self::End(Head) => "an end within a head",
            Self::End(Body) => "an end within a message",
            Self::End(Answer | Behind) => "an end behind what was said",
            Self::Abort(First) => "a reset before the first byte",
            Self::Abort(Head) => "a reset within a head",
            Self::Abort(Body) => "a reset within a message",
            Self::Abort(Answer) => "a reset within an answer",
            Self::Abort(Behind) => "a reset behind an answer",
            Self::Stall(First) => "silence before the first byte",
            Self::Stall(Head) => "silence within a head",
            Self::Stall(Body) => "silence within a message",
            Self::Stall(Answer) => "a peer that does not read the answer",
            Self::Stall(Behind) => "silence behind an answer",
        }
    }
}

const NO_HEAD: &str = "there is no head: a message is what came";
const NO_END: &str = "every byte is a message of its own: none can be half there";
const RECEIVED: &str = "what one receive returned is a message: none can be half there";
const NO_REFUSAL: &str = "nothing that a peer may say is refused";
const NO_LIMIT: &str = "there is no longest message";
const CUT: &str = "a message that ends early is one: nothing tells the two apart";
const AS_IT_COMES: &str =
    "bytes go back as they arrive: the answer is within the message, and was tried there";
const THE_END: &str = "the answer is the end of the stream: it has no inside";
const SMALL: &str =
    "an answer is a few bytes to as many as one likes: no scenario could fill the buffers between";
const KNOCK: &str = "the server says nothing, finishes at once, and does not listen";
const DATAGRAM: &str = "a datagram comes whole or not at all, and there is no connection to end";

/// Why a service has no scenario for an edge.
pub(crate) fn why_not(service: &str, edge: Edge) -> Option<&'static str> {
    Some(match (service, edge) {
        ("guess" | "echo over UDP", Edge::Lab | Edge::Longest | Edge::Many) => return None,
        ("guess", Edge::Refusal) => return None,
        ("echo over UDP", Edge::Refusal) => NO_REFUSAL,
        ("guess" | "echo over UDP", _) => DATAGRAM,

        ("knock", Edge::Longest) => NO_LIMIT,
        ("knock", Edge::Refusal) => NO_REFUSAL,
        ("knock", Edge::End(Head | Body) | Edge::Stall(First | Head | Body | Answer)) => KNOCK,
        ("knock", Edge::Abort(Head | Body | Answer)) => KNOCK,
        ("knock", Edge::Reset) => KNOCK,

        ("echo", Edge::Longest) => NO_LIMIT,
        ("echo" | "hello" | "message" | "date" | "greet", Edge::Refusal) => NO_REFUSAL,
        ("echo", Edge::End(Head | Body) | Edge::Abort(Head | Body) | Edge::Stall(Head | Body)) => {
            NO_END
        }
        ("hello" | "date" | "logdate", Edge::End(Body) | Edge::Stall(Body)) => RECEIVED,
        (
            "hello" | "message" | "fixed" | "date" | "logdate",
            Edge::End(Head) | Edge::Abort(Head) | Edge::Stall(Head),
        ) => NO_HEAD,
        ("fixed", Edge::Abort(Answer)) => AS_IT_COMES,
        ("fixed", Edge::Refusal) => "a length that ends early is the only mistake there is",
        ("file", Edge::End(Head)) => CUT,
        ("file", Edge::End(Body) | Edge::Abort(Body) | Edge::Stall(Body)) => {
            "the peer sends a name, and nothing behind it"
        }
        ("typed", Edge::Abort(Answer) | Edge::Stall(Answer)) => THE_END,
        ("upload" | "date" | "logdate", Edge::Stall(Answer)) => SMALL,
        ("date", Edge::Reset) => {
            "nothing that its peer does makes it reset: who is idle is ended in good order"
        }
        ("upload", Edge::Abort(Answer)) => "an answer of two bytes is one segment",
        _ => return None,
    })
}

/// A peer that sends `sent`, receives so many bytes of an answer, and resets the connection; `next` is one who is served then. The
/// server tells of the reset if it has seen the connection, which it has where it answered.
pub(super) fn abort(
    world: &mut World<'_>,
    sent: &[u8],
    received: usize,
    next: impl Fn(&mut World<'_>),
) {
    let is_reset =
        |end| matches!(end, End::Reset | End::Aborted(Reason::Cut { stop: Stop::Reset, .. }));
    let stream = world.open();
    world.send(stream, sent);
    if received > 0 {
        world.receive(stream, received);
        world.network().abort(stream);
        let end = world.ended();
        assert!(is_reset(end), "{end:?}");
        next(world);
        assert_eq!(world.ended(), End::Finished);
    } else {
        // Time to see it, if not for sure.
        world.pause(stream, Duration::from_millis(50));
        world.network().abort(stream);
        next(world);
        let end = world.ended();
        if end != End::Finished {
            assert!(is_reset(end), "{end:?}");
            assert_eq!(world.ended(), End::Finished);
        }
    }
    world.assert_nothing_unfinished();
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    /// The table has no hole, and no reason for what is tried after all.
    #[test]
    fn every_edge_of_every_service_is_tried_or_has_a_reason() {
        let mut services: Vec<_> = all().iter().map(|scenario| scenario.label()).collect();
        services.dedup();
        let mut wrong = Vec::new();
        for service in &services {
            for edge in Edge::ALL {
                let tried = all()
                    .iter()
                    .any(|scenario| scenario.label() == *service && scenario.edges.contains(&edge));
                if tried == why_not(service, edge).is_some() {
                    wrong.push(format!("{service}: {}: tried: {tried}", edge.name()));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
