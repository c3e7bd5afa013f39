//! Every row as bars, and every curve.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::curves::Drawn;
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

/// Draws what each work costs as there is more of it, both logarithmically.
pub(crate) fn draw_curves(curves: &[Drawn], dir: &Path, machine: &str) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let file = dir.join("curves.svg");
    let down = curves.len().div_ceil(2);
    let area = SVGBackend::new(&file, (WIDTH, down as u32 * 280 + 24)).into_drawing_area();
    draw_on(&area, curves, down, machine).map_err(|error| anyhow!("cannot draw: {error}"))
}

fn draw_on<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    curves: &[Drawn],
    down: usize,
    machine: &str,
) -> Result<(), Box<dyn std::error::Error + 'a>> {
    area.fill(&WHITE)?;
    let grey = RGBColor(110, 110, 110);
    area.draw(&Text::new(
        machine.to_owned(),
        (10, 6),
        ("sans-serif", 12).into_font().color(&grey),
    ))?;
    let (_, area) = area.split_vertically(24);
    for (curve, area) in curves.iter().zip(area.split_evenly((down, 2))) {
        let lines = curve.lines();
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let range = |of: fn((f64, f64)) -> f64| {
            points().map(of).fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            })
        };
        let ((x0, x1), (y0, y1)) = (range(|(x, _)| x), range(|(_, y)| y));
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .caption(curve.title(), ("sans-serif", 12))
            .x_label_area_size(30)
            .y_label_area_size(45)
            .build_cartesian_2d((x0..x1).log_scale(), (decade(y0).0..decade(y1).1).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(curve.curve.along)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| short(*y))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let colors = [RGBColor(31, 119, 180), RGBColor(230, 120, 30), RGBColor(110, 160, 60)];
        for ((name, points), color) in lines.iter().zip(colors) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .border_style(grey)
            .background_style(WHITE)
            .draw()?;
    }
    area.present()?;
    Ok(())
}

/// The powers of ten around it.
fn decade(value: f64) -> (f64, f64) {
    let exponent = value.log10();
    (10_f64.powf(exponent.floor()), 10_f64.powf(exponent.ceil()))
}
