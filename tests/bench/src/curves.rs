//! What a work costs as there is more of it: a cost that grows faster than its work is a defect.

use std::fmt::Write as _;
use std::time::Duration;

use crate::framing::By;
use crate::load::echo::{PingPong, Waiting};
use crate::peers::{Peer, Work};
use crate::rows::{PING, Row, anywire, framed, in_memory, most_connections, peer, waiting};
use crate::table::{Measured, short};

/// The same row for more and more of something.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What there is more and more of.
    pub(crate) along: &'static str,
    pub(crate) points: Vec<(usize, Row)>,
}

/// Its rows, measured.
pub(crate) struct Drawn {
    pub(crate) curve: Curve,
    pub(crate) points: Vec<(usize, Measured)>,
}

pub(crate) fn all(long: Duration) -> Vec<Curve> {
    let most = most_connections();
    let servers = || {
        vec![
            anywire("echo", &[]),
            peer("epoll", Peer::Epoll, Work::Echo, &[]),
            peer("tokio", Peer::Tokio, Work::Echo, &[]),
        ]
    };
    let connections = [1, 10, 100, 1000, most].map(|count| {
        let row = Row::new("connections", "", &PING).servers(servers(), move |server| {
            let mut clients = PingPong::new(server.addr, count)?;
            Ok(move || clients.round(&server, long))
        });
        (count, row)
    });
    // Each connection of ours has a deadline, and a request moves it; those of the others have none.
    let deadlines = [1, 100, 1000, most - 16].map(|count| {
        let row = Row::new("deadlines", "", &PING).servers(servers(), move |server| {
            let waiting = Waiting::new(server.addr, count)?;
            let mut clients = PingPong::new(server.addr, 16)?;
            Ok(move || {
                let _ = &waiting;
                clients.round(&server, long)
            })
        });
        (count, row)
    });
    let memory = [100, 1000, most]
        .map(|count| (count, waiting("memory", count, &["anywire", "epoll", "tokio"])));
    let frames = [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 60 << 10].map(|len| {
        let row = framed("frames", len)
            .by("Tagged", move |_| in_memory(By::Tagged, len))
            .by("by hand", move |_| in_memory(By::TaggedByHand, len))
            .by("tokio-util", move |_| in_memory(By::TokioUtil, len));
        (len, row)
    });
    let curve = |name, about, along, points: &mut dyn Iterator<Item = (usize, Row)>| Curve {
        name,
        about,
        along,
        points: points.collect(),
    };
    vec![
        curve(
            "connections",
            "TCP echo, 64 B there and back, all connections busy",
            "connections",
            &mut connections.into_iter(),
        ),
        curve(
            "deadlines",
            "TCP echo on 16 connections, beside others that wait, each with a deadline",
            "deadlines",
            &mut deadlines.into_iter(),
        ),
        curve("memory", "connections that wait", "connections", &mut memory.into_iter()),
        curve(
            "frames",
            "decoding in chunks of 64 KiB, each copied once",
            "B of body",
            &mut frames.into_iter(),
        ),
    ]
}

impl Drawn {
    /// Which number of its rows is drawn: the first of which less is better.
    pub(crate) fn metric(&self) -> usize {
        let metrics = self.points.first().map_or(&[][..], |(_, row)| &row.metrics);
        metrics.iter().position(|metric| !metric.more_is_better).unwrap_or(0)
    }

    /// For each contestant, its name and what it takes, from the least work to the most.
    pub(crate) fn lines(&self) -> Vec<(&'static str, Vec<(f64, f64)>)> {
        let metric = self.metric();
        let mut lines: Vec<(&'static str, Vec<(f64, f64)>)> = Vec::new();
        for (x, row) in &self.points {
            for (run, (name, _)) in row.runs.iter().enumerate() {
                let point = (*x as f64, row.median(run, metric));
                match lines.iter_mut().find(|(of, _)| of == name) {
                    Some((_, points)) => points.push(point),
                    None => lines.push((name, vec![point])),
                }
            }
        }
        lines
    }

    /// What is drawn, with its unit.
    pub(crate) fn title(&self) -> String {
        let metric = self.metric();
        let unit = self.points.first().map_or("", |(_, row)| row.metrics[metric].name);
        format!("{} ({unit})", self.curve.about)
    }

    /// Lines of Markdown.
    pub(crate) fn table(&self) -> String {
        let lines = self.lines();
        let mut out =
            format!("\n**{}**: {}\n\n| {} |", self.curve.name, self.title(), self.curve.along);
        for (name, _) in &lines {
            let _ = write!(out, " {name} |");
        }
        let _ = write!(out, "\n| ---: |{}", " ---: |".repeat(lines.len()));
        for (x, _) in &self.points {
            let _ = write!(out, "\n| {x} |");
            for (_, points) in &lines {
                match points.iter().find(|(at, _)| *at == *x as f64) {
                    Some((_, y)) => write!(out, " {} |", short(*y)),
                    None => write!(out, " |"),
                }
                .expect("writing to a string");
            }
        }
        out
    }
}
