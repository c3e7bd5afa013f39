//! What a person sees: the log, the transcripts, and what clients print. Nothing from the network reaches a terminal or a log
//! [unescaped](escape).

pub mod address;
pub mod escape;
pub mod input;
mod json;
mod lines;
pub mod log;
pub mod output;
pub mod summary;
pub mod transcript;
pub mod visits;
pub(crate) mod words;

pub(crate) use lines::TOLD;
