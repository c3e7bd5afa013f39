//! Anywire's stack on a TAP device, side by side with what one would use instead: smoltcp's own interface to TAP, and Linux's TCP over veth.
//!
//! ```text
//! cargo build --release --manifest-path tests/bench-tap/Cargo.toml
//! cargo xtask tap shell -- PATH/bench-tap [ROUNDS] [WORK...]
//! ```
//!
//! Every round runs each work against each peer that can do it, one after the other, and the figures are medians of the rounds with the least and
//! the most. The load is Linux's TCP in one thread for all peers. CPU is the server's, without what the kernel does for it elsewhere.

mod load;
mod peer;
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use load::{Figure, Work};
use peer::{Kind, Peer};

/// How long each is measured.
const SPAN: Duration = Duration::from_millis(1000);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, name] = &args[..]
        && role == "peer"
    {
        return servers::serve(name);
    }
    let rounds = args.first().map_or(Ok(5), |rounds| rounds.parse())?;
    let chosen = |name: &str| args.len() < 2 || args[1..].iter().any(|arg| name.contains(&**arg));
    let mut table: BTreeMap<(usize, &str, Kind), Vec<Figure>> = BTreeMap::new();
    for round in 1..=rounds {
        for (at, (name, work)) in load::ALL.iter().enumerate().filter(|(_, (name, _))| chosen(name))
        {
            for kind in Kind::ALL.into_iter().filter(|kind| kind.does(work)) {
                let figure = measure(kind, *work).or_else(|error| {
                    eprintln!("{round}/{rounds} {name}: {kind:?}: once more: {error:#}");
                    measure(kind, *work)
                });
                let figure = figure.with_context(|| format!("{name}: {kind:?}"))?;
                eprintln!("{round}/{rounds} {name}: {kind:?}: {figure:.1?}");
                table.entry((at, name, kind)).or_default().push(figure);
            }
        }
    }
    print(&table)
}

fn measure(kind: Kind, work: Work) -> Result<Figure> {
    load::run(work, &mut Peer::start(kind, &work)?, SPAN)
}

fn print(table: &BTreeMap<(usize, &str, Kind), Vec<Figure>>) -> Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    println!("load: {}", load.trim());
    println!("| work | peer | median | min-max | us CPU each | p50, p99 us | Anywire / it |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for ((at, name, kind), figures) in table {
        let Some(ours) = table.get(&(*at, *name, Kind::Anywire)) else {
            bail!("no figures of ours")
        };
        let rates = sorted(figures, |figure| figure.rate);
        let unit = load::ALL.get(*at).map_or("", |(_, work)| work.unit());
        let ratios: Vec<f64> =
            ours.iter().zip(figures).map(|(ours, its)| ours.rate / its.rate).collect();
        println!(
            "| {name} | {} | {:.0} {unit} | {:.0}-{:.0} | {:.2} | {:.0}, {:.0} | {:.2} |",
            kind.name(),
            median(&rates),
            rates[0],
            rates[rates.len() - 1],
            median(&sorted(figures, |figure| figure.cpu)),
            median(&sorted(figures, |figure| figure.p50)),
            median(&sorted(figures, |figure| figure.p99)),
            median(&sorted(&ratios, |ratio| *ratio)),
        );
    }
    Ok(())
}

fn sorted<T>(all: &[T], value: impl Fn(&T) -> f64) -> Vec<f64> {
    let mut values: Vec<_> = all.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
