//! The ratios of every row as bars.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::table::{Measured, short};

const WIDTH: u32 = 900;
const LINE: i32 = 18;

/// Draws what each row costs: the first number of which less is better.
pub(crate) fn draw(rows: &[Measured], dir: &Path, machine: &str) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let lines: usize = rows.iter().map(|row| row.runs.len() + 2).sum();
    let file = dir.join("bench.svg");
    let area =
        SVGBackend::new(&file, (WIDTH, (lines as u32 + 2) * LINE as u32)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw: {error}");
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let text = |size: u32, color: RGBColor| ("sans-serif", size).into_font().color(&color);
    let (dark, grey) = (RGBColor(30, 30, 30), RGBColor(110, 110, 110));
    let mut y = 8;
    let write = |at: (i32, i32), what: String, big: bool, color: RGBColor| {
        let size = if big { 14 } else { 12 };
        area.draw(&Text::new(what, at, text(size, color))).map_err(|error| failed(&error))
    };
    write((10, y), machine.to_owned(), false, grey)?;
    y += LINE + 6;
    for row in rows {
        let Some(at) = row.metrics.iter().position(|metric| !metric.more_is_better) else {
            continue;
        };
        let metric = row.metrics[at];
        let title = format!("{} ({}, less is better)", row.about, metric.name);
        write((10, y), title, true, dark)?;
        y += LINE;
        let values: Vec<_> = (0..row.runs.len()).map(|run| row.median(run, at)).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        for (run, (name, _)) in row.runs.iter().enumerate() {
            write((20, y), (*name).to_owned(), false, dark)?;
            let long = (values[run] / most * f64::from(WIDTH - 260)).max(1.0) as i32;
            let color = if run == 0 { RGBColor(31, 119, 180) } else { RGBColor(190, 200, 210) };
            let bar = Rectangle::new([(110, y), (110 + long, y + 12)], color.filled());
            area.draw(&bar).map_err(|error| failed(&error))?;
            write((116 + long, y), short(values[run]), false, grey)?;
            y += LINE;
        }
        y += LINE;
    }
    area.present().map_err(|error| failed(&error))
}
