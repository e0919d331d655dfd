//! The plot: the core's load over the day, and how fast a revocation is everywhere.

use std::path::Path;

use plotters::prelude::*;

use super::Simulated;
use super::tally::{HOURS, Rate};
use crate::Outcome;
use crate::load::quantile_of as quantile;

const SIZE: (u32, u32) = (960, 720);
const QUESTIONS: RGBColor = RGBColor(31, 119, 180);
const SETTLING: RGBColor = RGBColor(44, 160, 44);
const POLLS: RGBColor = RGBColor(150, 150, 150);

/// A line, as it is drawn and named.
struct Line {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Draws it.
pub(super) fn draw(simulated: &Simulated, path: &Path) -> Outcome<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let halves = area.split_evenly((2, 1));
    let by_hour = |name, color, rates: [Rate; HOURS], of: fn(&Rate) -> f64| Line {
        name,
        color,
        points: (0_u8..)
            .zip(&rates)
            .map(|(hour, rate)| (f64::from(hour), of(rate)))
            .collect(),
    };
    let tally = &simulated.tally;
    let (questions, settling) = (tally.questions_by_hour(), tally.settling_by_hour());
    let load = [
        by_hour(
            "questions for a lease, mean",
            QUESTIONS,
            questions,
            |rate| rate.mean,
        ),
        by_hour("the same, the busiest second", RED, questions, |rate| {
            rate.peak
        }),
        by_hour("settlements alone", SETTLING, settling, |rate| rate.mean),
        by_hour(
            "questions to the feed",
            POLLS,
            simulated.reach.polls_by_hour,
            |rate| rate.mean,
        ),
    ];
    lines(
        &halves[0],
        "The core's load, requests a second, by the hour (UTC)",
        &load,
        SeriesLabelPosition::MiddleRight,
    )?;

    let steps = |name, color, sorted: &[f64]| Line {
        name,
        color,
        points: (0..=200_usize)
            .map(|step| (quantile(sorted, step * 5), step as f64 / 2.0))
            .collect(),
    };
    let reach = [
        steps("one place", POLLS, &simulated.reach.of_a_place),
        steps("the last of all places", QUESTIONS, &simulated.reach.of_all),
    ];
    let title = "Revocations that are everywhere, %, by the milliseconds since the answer";
    lines(&halves[1], title, &reach, SeriesLabelPosition::UpperLeft)?;
    area.present()?;
    Ok(())
}

fn lines(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    lines: &[Line],
    names: SeriesLabelPosition,
) -> Outcome<()> {
    let points = lines.iter().flat_map(|line| &line.points);
    let (right, top) = points.fold((1.0_f64, 1.0_f64), |(right, top), (x, y)| {
        (right.max(*x), top.max(*y))
    });
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(30)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.05)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for line in lines {
        let color = line.color;
        let series = LineSeries::new(line.points.iter().copied(), color.stroke_width(2));
        chart
            .draw_series(series)?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(names)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
