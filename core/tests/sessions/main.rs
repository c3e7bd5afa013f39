//! Every session, cut everywhere, in rooms of every size, watched by `Checked`.

mod any;
mod clients;
mod play;
mod services;

use anywire_core::name::FileName;

fn name(name: &'static str) -> FileName<'static> {
    FileName::new(name.as_bytes()).unwrap()
}

/// Every way to cut a stream of that length in two, the whole, and each byte by itself: the lengths of the pieces.
fn cuts(len: usize) -> Vec<Vec<usize>> {
    let mut cuts: Vec<_> = (1..len).map(|at| vec![at, len - at]).collect();
    cuts.push(vec![len]);
    cuts.push(vec![1; len]);
    cuts
}
