//! Every session, cut everywhere, in rooms of every size, watched by `Checked`.

mod any;
mod any_files;
mod any_labs;
mod catalog;
mod clients;
mod dialogues;
mod framings;
mod guess;
mod labs;
mod moody;
mod play;
mod services;
mod steps;
mod tagged;
mod typed;
mod upload;
mod wall_clock;

use anywire_core::name::FileName;

/// Rooms above the smallest: none, a little, a lot, and all at once.
const ROOMS: [&[usize]; 5] = [&[0], &[1], &[2, 0, 5], &[100], &[]];

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
