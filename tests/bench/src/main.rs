//! `anywire-bench`: Anywire and what one would pick instead, side by side, interleaved, on one load generator. `cargo xtask bench` runs it.

mod curves;
mod framing;
mod load;
mod peers;
mod plot;
mod rows;
mod server;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;

use curves::{Curve, Drawn};
use server::Place;
use table::Measured;

#[derive(Parser)]
enum Cli {
    /// Measure
    Run(Args),
    /// Be one of the peers
    Serve(peers::Args),
}

#[derive(clap::Args)]
struct Args {
    /// What to measure; all of it unless said. A name stands for all that begin with it
    names: Vec<String>,
    /// How often; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long a round lasts
    #[arg(long, value_name = "MS", default_value_t = 600)]
    long: u64,
    /// Draw the table into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Our program
    #[arg(long)]
    anywire: PathBuf,
    /// The Python servers
    #[arg(long)]
    python: PathBuf,
    /// Show what there is to be measured
    #[arg(long)]
    list: bool,
    /// Measure what each work costs as there is more of it instead
    #[arg(long)]
    curves: bool,
}

fn main() -> Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all)?;
    match Cli::parse() {
        Cli::Serve(args) => peers::serve(&args),
        Cli::Run(args) => run(&args),
    }
}

fn run(args: &Args) -> Result<()> {
    let long = Duration::from_millis(args.long);
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    match args.curves {
        true => curves = curves::all(long),
        false => rows = rows::all(long),
    }
    let chosen = |name: &str| {
        args.names.is_empty() || args.names.iter().any(|start| name.starts_with(start))
    };
    rows.retain(|row| chosen(row.name));
    curves.retain(|curve| chosen(curve.name));
    ensure!(
        !rows.is_empty() || !curves.is_empty(),
        "nothing is called that; --list shows what there is"
    );
    if args.list {
        rows.iter().for_each(|row| println!("{:14} {}", row.name, row.about));
        curves.iter().for_each(|curve| println!("{:14} {}", curve.name, curve.about));
        return Ok(());
    }
    let dir = std::env::temp_dir().join(format!("anywire-bench-{}", std::process::id()));
    let memory = PathBuf::from("/dev/shm").join(format!("anywire-bench-{}", std::process::id()));
    let place =
        Place { anywire: args.anywire.clone(), python: args.python.clone(), disk: dir, memory };
    for dir in [&place.disk, &place.memory] {
        std::fs::create_dir_all(dir)?;
    }
    let done = measure_all(&rows, curves, args, &place);
    for dir in [&place.disk, &place.memory] {
        std::fs::remove_dir_all(dir)?;
    }
    done
}

fn measure_all(rows: &[rows::Row], curves: Vec<Curve>, args: &Args, place: &Place) -> Result<()> {
    if rows.iter().any(|row| row.name.starts_with("file")) {
        rows::make_files(place)?;
    }
    server::pin_generator();
    let machine = machine(args);
    println!("{machine}");
    if curves.is_empty() {
        println!("In brackets: what ours is to that, the median and the spread over the rounds.");
    }
    let mut measured = Vec::new();
    for row in rows {
        let row = measure(row, args.rounds, place)?;
        println!("{}", row.table());
        measured.push(row);
    }
    let mut drawn = Vec::new();
    for curve in curves {
        let points =
            curve.points.iter().map(|(x, row)| Ok((*x, measure(row, args.rounds, place)?)));
        let points = points.collect::<Result<_>>()?;
        let curve = Drawn { curve, points };
        println!("{}", curve.table());
        drawn.push(curve);
    }
    println!("\nload at the end: {}", load());
    match &args.svg {
        Some(dir) if args.curves => plot::draw_curves(&drawn, dir, &machine),
        Some(dir) => plot::draw(&measured, dir, &machine),
        None => Ok(()),
    }
}

/// All contestants are there from the beginning, and take turns.
fn measure(row: &rows::Row, rounds: u32, place: &Place) -> Result<Measured> {
    let mut measured = Measured::new(row);
    let mut running = Vec::new();
    for contestant in &row.contestants {
        // What runs a little first has its pages, its threads and its caches.
        let started = (contestant.start)(place).and_then(|mut round| {
            round()?;
            Ok(round)
        });
        match started {
            Ok(round) => running.push((contestant.name, round)),
            Err(error) => eprintln!("{}: no {}: {error:#}", row.name, contestant.name),
        }
    }
    measured.runs = running.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for turn in 0..rounds as usize {
        for at in 0..running.len() {
            let at = (at + turn) % running.len();
            measured.runs[at].1.push((running[at].1)()?);
        }
    }
    Ok(measured)
}

/// What it was measured on.
fn machine(args: &Args) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!(
        "{count} processors ({}), Linux {}, load {}; {} rounds",
        model.unwrap_or("unknown").trim(),
        read("/proc/sys/kernel/osrelease").trim(),
        load(),
        args.rounds
    )
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}
